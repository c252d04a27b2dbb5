import { EventEmitter, once } from 'node:events'
import { InMemoryTaskMessageQueue, InMemoryTaskStore } from '@modelcontextprotocol/sdk/experimental/tasks'
import type { ServerOptions } from '@modelcontextprotocol/sdk/server/index.js'
import { completable } from '@modelcontextprotocol/sdk/server/completable.js'
import { McpServer, ResourceTemplate } from '@modelcontextprotocol/sdk/server/mcp.js'
import { SubscribeRequestSchema, UnsubscribeRequestSchema, type LoggingLevel } from '@modelcontextprotocol/sdk/types.js'
import { AjvJsonSchemaValidator } from '@modelcontextprotocol/sdk/validation/ajv'
import * as z from 'zod'
import type { CreateServer, ServerContext } from '../../src/mcp/create-server.js'
import type { Stores } from '../../src/stores/stores.js'
import { createTaskMessageQueue } from '../../src/stores/tasks/message-queue.js'
import { createTaskStore } from '../../src/stores/tasks/store.js'

const jsonSchemaValidator = new AjvJsonSchemaValidator()
const text = (value: string) => ({ content: [{ type: 'text' as const, text: value }] })
const startsWith = (...words: string[]) => (value: string) => words.filter(word => word.startsWith(value))
const colour = { type: 'object' as const, properties: { colour: { type: 'string' as const } }, required: ['colour'] }

/** One server instance, and what it knows. */
export interface FeatureInstance {
  server: McpServer
  context: ServerContext
  subscriptions: Set<string>
  /** Whether it has heard `notifications/initialized`. */
  initialized: boolean
}

/**
 * A server with every feature of the revisions up to 2025-11-25. Emits `instance` with each one made, `closed` with
 * each one that has ended, `heard` with progress of the client's answer to a task, `hanging` and `aborted` with the
 * name of a call of `hang`, `asking` with what makes the server give up. Emit `seen` when the client has the last
 * progress of a call of `progress`.
 */
export class FeatureServer extends EventEmitter {
  readonly instances: FeatureInstance[] = []
  // as an operator would: outside of the instances
  readonly tasks = new InMemoryTaskStore()
  readonly #kept: Pick<ServerOptions, 'taskStore' | 'taskMessageQueue'>
  /** A task of the tool `think` ends when this does. */
  thinking: Promise<void> = Promise.resolve()

  /** @param stores keep its tasks; absent: those of the SDK do, for this server alone */
  constructor (stores?: Pick<Stores, 'tasks'>) {
    super()
    this.#kept = stores === undefined
      ? { taskStore: this.tasks, taskMessageQueue: new InMemoryTaskMessageQueue() }
      : { taskStore: createTaskStore(stores), taskMessageQueue: createTaskMessageQueue(stores) }
  }

  readonly createServer: CreateServer = context => {
    const server = new McpServer({ name: 'features', version: '1.0.0' }, {
      jsonSchemaValidator,
      ...this.#kept,
      capabilities: {
        logging: {},
        tools: { listChanged: true },
        resources: { subscribe: true, listChanged: true },
        prompts: { listChanged: true },
        tasks: { list: {}, cancel: {}, requests: { tools: { call: {} } } }
      }
    })
    const instance: FeatureInstance = { server, context, subscriptions: new Set(), initialized: false }
    server.server.oninitialized = () => { instance.initialized = true }
    this.#addClientTools(server)
    this.#addCallTools(server)
    this.#addChangingTools(instance)
    this.#addTaskTool(server)
    addCompletions(server)
    server.server.onclose = () => { this.emit('closed', instance) }
    this.instances.push(instance)
    this.emit('instance', instance)
    return server
  }

  /** The newest instance. */
  get instance (): FeatureInstance {
    const instance = this.instances.at(-1)
    if (instance === undefined) throw new Error('no instance was made')
    return instance
  }

  /** Waits until an instance is closed, unless it is. */
  async closed (instance: FeatureInstance): Promise<void> {
    while (instance.server.server.transport !== undefined) await once(this, 'closed')
  }

  /** Tools that ask the client. */
  #addClientTools (server: McpServer): void {
    server.registerTool('sample', { inputSchema: { prompt: z.string() } }, async ({ prompt }, extra) => {
      let updates = 0
      const { content } = await server.server.createMessage(
        { messages: [{ role: 'user', content: { type: 'text', text: prompt } }], maxTokens: 10 },
        { relatedRequestId: extra.requestId, onprogress: () => { updates++ } })
      return text(JSON.stringify({ content, updates }))
    })
    server.registerTool(
      'ask',
      { inputSchema: { question: z.string() } },
      async ({ question }, extra) =>
        text(
          JSON.stringify(
            await server.server.elicitInput({ message: question, requestedSchema: colour }, {
              relatedRequestId: extra.requestId
            })
          )
        )
    )
    server.registerTool('ask-aside', { inputSchema: { question: z.string() } }, async ({ question }) =>
      // belongs to no request: goes out on the standalone stream
      text(JSON.stringify(await server.server.elicitInput({ message: question, requestedSchema: colour }))))
    server.registerTool('ask-in-vain', {}, async extra => {
      const patience = new AbortController()
      this.emit('asking', () => {
        patience.abort('lost patience')
      })
      const answer = await server.server.elicitInput({ message: 'in vain', requestedSchema: colour }, {
        relatedRequestId: extra.requestId,
        signal: patience.signal
      })
        .catch((error: unknown) => String(error))
      return text(JSON.stringify(answer))
    })
    server.registerTool('visit', { inputSchema: { url: z.string() } }, async ({ url }, extra) => {
      const options = { relatedRequestId: extra.requestId }
      const { action } = await server.server.elicitInput({
        mode: 'url',
        message: 'Look there',
        url,
        elicitationId: 'visit-1'
      }, options)
      await server.server.createElicitationCompletionNotifier('visit-1', options)()
      return text(action)
    })
    server.registerTool('roots', {}, async extra =>
      text(JSON.stringify((await server.server.listRoots(undefined, { relatedRequestId: extra.requestId })).roots)))
  }

  /** Tools about calls themselves. */
  #addCallTools (server: McpServer): void {
    server.registerTool(
      'progress',
      { inputSchema: { steps: z.number() } },
      async ({ steps }, { _meta, sendNotification }) => {
        for (let progress = 1; _meta?.progressToken !== undefined && progress <= steps; progress++) {
          await sendNotification({
            method: 'notifications/progress',
            params: { progressToken: _meta.progressToken, progress, total: steps }
          })
        }
        // SDK clients lose progress that they read in one piece with the result
        if (_meta?.progressToken !== undefined) await once(this, 'seen')
        return text('done')
      }
    )
    server.registerTool('hang', { inputSchema: { name: z.string() } }, async ({ name }, { signal }) => {
      signal.addEventListener('abort', () => { this.emit('aborted', name, signal.reason) })
      this.emit('hanging', name)
      return await new Promise<never>(() => {})
    })
    server.registerTool(
      'who',
      {},
      async ({ authInfo }) =>
        text(JSON.stringify({ token: authInfo?.token, subject: authInfo?.extra?.subject, scopes: authInfo?.scopes }))
    )
    const levels: LoggingLevel[] = ['debug', 'info', 'warning', 'error']
    server.registerTool('log', {}, async extra => {
      for (const level of levels) await server.sendLoggingMessage({ level, data: level }, extra.sessionId)
      await extra.sendNotification({ method: 'notifications/message', params: { level: 'info', data: 'of this call' } })
      return text('logged')
    })
    server.registerTool('state', {}, async () => text(JSON.stringify({
      client: server.server.getClientVersion(), capabilities: Object.keys(server.server.getClientCapabilities() ?? {})
    })))
  }

  /** Tools that change what the server has. */
  #addChangingTools ({ server, subscriptions }: FeatureInstance): void {
    server.server.setRequestHandler(SubscribeRequestSchema, async ({ params }) => {
      subscriptions.add(params.uri)
      return {}
    })
    server.server.setRequestHandler(UnsubscribeRequestSchema, async ({ params }) => {
      subscriptions.delete(params.uri)
      return {}
    })
    server.registerTool('touch', { inputSchema: { uri: z.string() } }, async ({ uri }) => {
      if (!subscriptions.has(uri)) return text('nobody listens')
      await server.server.sendResourceUpdated({ uri })
      return text('touched')
    })
    server.registerTool('grow', {}, async () => {
      server.registerTool('grown', {}, async () => text('grown'))
      server.registerResource(
        'grown',
        'file:///grown',
        {},
        async uri => ({ contents: [{ uri: uri.href, text: 'grown' }] })
      )
      server.registerPrompt('grown', {}, async () => ({ messages: [] }))
      return text('grown')
    })
  }

  #addTaskTool (server: McpServer): void {
    server.experimental.tasks.registerToolTask('think', {
      inputSchema: { about: z.string(), ask: z.boolean().optional(), times: z.number().optional() },
      execution: { taskSupport: 'required' }
    }, {
      createTask: async ({ about, ask = false, times = 1 }, { taskStore }) => {
        const task = await taskStore.createTask({ ttl: 60_000, pollInterval: 5 })
        const think = async () => {
          await this.thinking
          let thought = about
          if (ask) {
            await taskStore.updateTaskStatus(task.taskId, 'input_required')
            const answers = await Promise.all(Array.from({ length: times }, (_, index) =>
              server.server.elicitInput({ message: `${about}${' again'.repeat(index)}`, requestedSchema: colour }, {
                relatedTask: { taskId: task.taskId },
                onprogress: update => { this.emit('heard', update) }
              })))
            thought = answers.map(({ content }) => content?.colour).join(', ')
          }
          await taskStore.storeTaskResult(task.taskId, 'completed', text(thought))
        }
        think().catch((error: unknown) => { this.emit('error', error) })
        return { task }
      },
      getTask: async (_args, { taskId, taskStore }) => taskStore.getTask(taskId),
      getTaskResult: async (_args, { taskId, taskStore }) => ({ content: [], ...await taskStore.getTaskResult(taskId) })
    })
  }
}

function addCompletions (server: McpServer): void {
  server.registerPrompt(
    'city',
    { argsSchema: { name: completable(z.string(), startsWith('Paris', 'Pavia', 'Rome')) } },
    ({ name }) => ({ messages: [{ role: 'user', content: { type: 'text', text: name } }] })
  )
  server.registerResource(
    'book',
    new ResourceTemplate('book://{title}', { list: undefined, complete: { title: startsWith('Emma', 'Erewhon') } }),
    {},
    async uri => ({ contents: [{ uri: uri.href, text: 'a book' }] })
  )
}
