import { EventEmitter, once } from 'node:events'
import { McpServer as McpServer1 } from '@modelcontextprotocol/sdk/server/mcp.js'
import {
  ErrorCode,
  McpError,
  RequestIdSchema,
  SubscribeRequestSchema,
  UnsubscribeRequestSchema,
  UrlElicitationRequiredError,
  type LoggingLevel
} from '@modelcontextprotocol/sdk/types.js'
import { AjvJsonSchemaValidator as AjvJsonSchemaValidator1 } from '@modelcontextprotocol/sdk/validation/ajv'
import {
  acceptedContent,
  inputRequired,
  inputResponse,
  McpServer as McpServer2,
  ResourceNotFoundError
} from '@modelcontextprotocol/server'
import { AjvJsonSchemaValidator as AjvJsonSchemaValidator2 } from '@modelcontextprotocol/server/validators/ajv'
import * as z from 'zod'
import type { CreateServer } from '../../src/mcp/create-server.js'
import { requireScopes } from '../../src/mcp/scopes/required-scopes.js'

/*
 * One server, written with either SDK: what clients of every era must find the same.
 */

/**
 * What a test knows of a server's calls. Emits `hanging` and `aborted` of calls of `hang`; emit `seen` when the client
 * has a call's last notification.
 */
export class EraPlug extends EventEmitter {
  /** How often a tool has begun to run, by name. */
  readonly runs = new Map<string, number>()

  ran (tool: string): void {
    this.runs.set(tool, (this.runs.get(tool) ?? 0) + 1)
  }

  /** A call that ends only when it is cancelled. */
  async hang (signal: AbortSignal): Promise<never> {
    signal.addEventListener('abort', () => { this.emit('aborted') })
    this.emit('hanging')
    return await new Promise<never>(() => {})
  }
}

const text = (value: unknown) => ({
  content: [{ type: 'text' as const, text: typeof value === 'string' ? value : JSON.stringify(value) }]
})
const colour = { type: 'object' as const, properties: { colour: { type: 'string' as const } }, required: ['colour'] }
const question = (message: string) => ({ message, requestedSchema: colour })
const prompt = {
  messages: [{ role: 'user' as const, content: { type: 'text' as const, text: 'Hello' } }],
  maxTokens: 10
}
const LEVELS: readonly LoggingLevel[] = ['debug', 'info', 'error']
const capabilities = {
  logging: {},
  tools: { listChanged: true },
  prompts: { listChanged: true },
  resources: { subscribe: true, listChanged: true }
}
const scopes = { guarded: ['more'] }

const askInput = z.object({ message: z.string() })
const stepsInput = z.object({ steps: z.number() })
const uriInput = z.object({ uri: z.string() })
const coloured = z.object({ colour: z.string() })

const validator1 = new AjvJsonSchemaValidator1()
const validator2 = new AjvJsonSchemaValidator2()

/** Written with SDK 1.x. */
export const eraServer1 = (plug: EraPlug): CreateServer => () => {
  const server = new McpServer1({ name: 'era', version: '1' }, {
    jsonSchemaValidator: validator1,
    capabilities,
    instructions: 'Ask.'
  })
  requireScopes(server, scopes)
  const ask = server.server

  server.registerTool('plain', {}, () => text('plain'))
  server.registerTool('guarded', {}, () => {
    plug.ran('guarded')
    return text('let in')
  })
  server.registerTool('progress', { inputSchema: stepsInput }, async ({ steps }, { _meta, sendNotification }) => {
    for (let progress = 1; _meta?.progressToken !== undefined && progress <= steps; progress++) {
      await sendNotification({
        method: 'notifications/progress',
        params: { progressToken: _meta.progressToken, progress, total: steps }
      })
    }
    // SDK clients lose notifications that they read in one piece with the result
    await once(plug, 'seen')
    return text('done')
  })
  server.registerTool('log', {}, async ({ sessionId, sendNotification }) => {
    for (const level of LEVELS) await server.sendLoggingMessage({ level, data: level }, sessionId)
    await sendNotification({ method: 'notifications/message', params: { level: 'error', data: 'of this call' } })
    await once(plug, 'seen')
    return text('logged')
  })
  server.registerTool('quiet', {}, async ({ sendNotification }) => {
    await sendNotification({ method: 'notifications/message', params: { level: 'error', data: 'unheard' } })
    return text('quiet')
  })
  server.registerTool('ask', { inputSchema: askInput }, async ({ message }, { requestId: relatedRequestId }) => {
    plug.ran('ask')
    return text(await ask.elicitInput(question(message), { relatedRequestId }))
  })
  server.registerTool('ask-twice', {}, async ({ requestId: relatedRequestId, _meta, sendNotification, signal }) => {
    plug.ran('ask-twice')
    signal.addEventListener('abort', () => { plug.emit('aborted') })
    const first = await ask.elicitInput(question('first'), { relatedRequestId })
    if (_meta?.progressToken !== undefined) {
      await sendNotification({
        method: 'notifications/progress',
        params: { progressToken: _meta.progressToken, progress: 5, message: 'half way' }
      })
      await once(plug, 'seen')
    }
    const second = await ask.elicitInput(question('second'), { relatedRequestId })
    return text([first.content, second.content])
  })
  server.registerTool('ask-all', {}, async ({ requestId: relatedRequestId }) => {
    const [{ content }, sample, { roots }] = await Promise.all([
      ask.elicitInput(question('all'), { relatedRequestId }),
      ask.createMessage(prompt, { relatedRequestId }),
      ask.listRoots(undefined, { relatedRequestId })
    ])
    return text({ ...content, sample: sample.content, roots })
  })
  server.registerTool('sample', {}, async ({ requestId: relatedRequestId }) => {
    plug.ran('sample')
    return text((await ask.createMessage(prompt, { relatedRequestId })).content)
  })
  server.registerTool('hang', {}, async ({ signal }) => await plug.hang(signal))
  server.registerTool('ask-and-hang', {}, async ({ requestId: relatedRequestId, signal }) => {
    signal.addEventListener('abort', () => { plug.emit('aborted') })
    return text(await ask.elicitInput(question('?'), { relatedRequestId }))
  })
  server.registerTool('announce', { inputSchema: uriInput }, async ({ uri }) => {
    server.sendToolListChanged()
    server.sendPromptListChanged()
    server.sendResourceListChanged()
    await ask.sendResourceUpdated({ uri })
    return text('announced')
  })
  server.registerTool('pay', {}, () => {
    plug.ran('pay')
    if (plug.runs.get('pay') === 1) {
      throw new UrlElicitationRequiredError([{
        mode: 'url',
        message: 'Pay first',
        url: 'https://pay.example/1',
        elicitationId: 'pay-1'
      }])
    }
    return text('paid')
  })
  server.registerTool(
    'routed',
    { inputSchema: z.object({ region: z.string().meta({ 'x-mcp-header': 'Region' }) }) },
    ({ region }) => text(region)
  )
  server.registerPrompt('asking', {}, async ({ requestId }) => {
    // to the types of the SDK this is an argument of the prompt
    const { content } = await ask.elicitInput(question('prompt'), {
      relatedRequestId: RequestIdSchema.parse(requestId)
    })
    return { messages: [{ role: 'user', content: { type: 'text', text: String(content?.colour) } }] }
  })
  server.registerResource('asking', 'ask://colour', {}, async ({ href: uri }, { requestId: relatedRequestId }) => {
    const { content } = await ask.elicitInput(question('resource'), { relatedRequestId })
    return { contents: [{ uri, text: String(content?.colour) }] }
  })
  server.registerResource('gone', 'gone://forever', {}, () => {
    throw new McpError(-32002, 'It is gone.')
  })
  server.registerResource('broken', 'broken://for-now', {}, () => {
    throw new McpError(ErrorCode.InternalError, 'It broke.', { part: 'disk' })
  })
  ask.setRequestHandler(SubscribeRequestSchema, () => ({}))
  ask.setRequestHandler(UnsubscribeRequestSchema, () => ({}))
  return server
}

/** Written with SDK 2.x. */
export const eraServer2 = (plug: EraPlug): CreateServer => () => {
  const server = new McpServer2({ name: 'era', version: '2' }, {
    jsonSchemaValidator: validator2,
    capabilities,
    instructions: 'Ask.'
  })
  requireScopes(server, scopes)
  const elicit = (message: string, requestState?: string) =>
    inputRequired({
      inputRequests: { colour: inputRequired.elicit(question(message)) },
      ...requestState !== undefined && { requestState }
    })

  server.registerTool('plain', {}, () => text('plain'))
  server.registerTool('guarded', {}, () => {
    plug.ran('guarded')
    return text('let in')
  })
  server.registerTool('progress', { inputSchema: stepsInput }, async ({ steps }, { mcpReq: { _meta, notify } }) => {
    for (let progress = 1; _meta?.progressToken !== undefined && progress <= steps; progress++) {
      await notify({
        method: 'notifications/progress',
        params: { progressToken: _meta.progressToken, progress, total: steps }
      })
    }
    await once(plug, 'seen')
    return text('done')
  })
  server.registerTool('log', {}, async ({ mcpReq }) => {
    for (const level of LEVELS) await mcpReq.log(level, level)
    await mcpReq.log('error', 'of this call')
    await once(plug, 'seen')
    return text('logged')
  })
  server.registerTool('quiet', {}, async ({ mcpReq }) => {
    await mcpReq.log('error', 'unheard')
    return text('quiet')
  })
  server.registerTool('ask', { inputSchema: askInput }, ({ message }, { mcpReq: { inputResponses } }) => {
    plug.ran('ask')
    const answer = inputResponse(inputResponses, 'colour')
    return answer.kind === 'elicit' ? text(answer) : elicit(message)
  })
  server.registerTool('ask-twice', {}, async ({ mcpReq: { inputResponses, requestState, _meta, notify } }) => {
    const answer = acceptedContent(inputResponses, 'colour', coloured)
    if (answer === undefined) return elicit('first')
    const first = requestState<string>()
    if (first !== undefined) return text([{ colour: first }, answer])
    if (_meta?.progressToken !== undefined) {
      await notify({
        method: 'notifications/progress',
        params: { progressToken: _meta.progressToken, progress: 5, message: 'half way' }
      })
      await once(plug, 'seen')
    }
    return elicit('second', answer.colour)
  })
  server.registerTool('ask-all', {}, ({ mcpReq: { inputResponses } }) => {
    const answer = acceptedContent(inputResponses, 'colour', coloured)
    const sample = inputResponse(inputResponses, 'sample')
    const roots = inputResponse(inputResponses, 'roots')
    if (answer !== undefined && sample.kind === 'sampling' && roots.kind === 'roots') {
      return text({ ...answer, sample: sample.result.content, roots: roots.roots })
    }
    return inputRequired({
      inputRequests: {
        colour: inputRequired.elicit(question('all')),
        sample: inputRequired.createMessage(prompt),
        roots: inputRequired.listRoots()
      }
    })
  })
  server.registerTool('sample', {}, ({ mcpReq: { inputResponses } }) => {
    plug.ran('sample')
    const sample = inputResponse(inputResponses, 'sample')
    return sample.kind === 'sampling'
      ? text(sample.result.content)
      : inputRequired({ inputRequests: { sample: inputRequired.createMessage(prompt) } })
  })
  server.registerTool('hang', {}, async ({ mcpReq: { signal } }) => await plug.hang(signal))
  server.registerTool('announce', { inputSchema: uriInput }, async ({ uri }) => {
    server.sendToolListChanged()
    server.sendPromptListChanged()
    server.sendResourceListChanged()
    await server.server.sendResourceUpdated({ uri })
    return text('announced')
  })
  server.registerPrompt('asking', {}, ({ mcpReq: { inputResponses } }) => {
    const answer = acceptedContent(inputResponses, 'colour', coloured)
    return answer === undefined
      ? elicit('prompt')
      : { messages: [{ role: 'user', content: { type: 'text', text: answer.colour } }] }
  })
  server.registerResource('asking', 'ask://colour', {}, ({ href: uri }, { mcpReq: { inputResponses } }) => {
    const answer = acceptedContent(inputResponses, 'colour', coloured)
    return answer === undefined ? elicit('resource') : { contents: [{ uri, text: answer.colour }] }
  })
  server.registerResource('gone', 'gone://forever', {}, ({ href }) => {
    throw new ResourceNotFoundError(href, 'It is gone.')
  })
  server.server.setRequestHandler('resources/subscribe', () => ({}))
  server.server.setRequestHandler('resources/unsubscribe', () => ({}))
  return server
}

export const eraServers: Record<string, (plug: EraPlug) => CreateServer> = {
  'SDK 1.x server': eraServer1,
  'SDK 2.x server': eraServer2
}
