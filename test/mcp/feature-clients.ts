import { EventEmitter } from 'node:events'
import {
  Client as Client2,
  StreamableHTTPClientTransport as StreamableHTTPClientTransport2
} from '@modelcontextprotocol/client'
import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { SSEClientTransport } from '@modelcontextprotocol/sdk/client/sse.js'
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import type { Transport } from '@modelcontextprotocol/sdk/shared/transport.js'
import {
  CreateMessageRequestSchema,
  ElicitRequestSchema,
  ListRootsRequestSchema,
  type LoggingLevel
} from '@modelcontextprotocol/sdk/types.js'
import type { McpService } from '../support/mcp-harness.js'

const clientInfo = { name: 'feature-client', version: '1.0.0' }
const capabilities = { sampling: {}, elicitation: { form: {}, url: {} }, roots: { listChanged: true } }
export const requestInit = { headers: { authorization: 'Bearer alice' } }

export interface CallOptions {
  onprogress?: (update: { progress: number }) => void
  signal?: AbortSignal
}

/** What the tests of features need of a client, whichever SDK it comes from. */
export interface FeatureClient {
  /**
   * Emits every notification of the server by its method, with its parameters; `asked` with the message of an
   * elicitation; `given up` when the server cancels one.
   */
  heard: EventEmitter
  call(
    name: string,
    args?: Record<string, unknown>,
    options?: CallOptions
  ): Promise<{ isError?: boolean | undefined, content: unknown[] }>
  complete(
    ref: { type: 'ref/prompt', name: string } | { type: 'ref/resource', uri: string },
    argument: { name: string, value: string }
  ): Promise<string[]>
  setLevel(level: LoggingLevel): Promise<unknown>
  subscribe(uri: string): Promise<unknown>
  unsubscribe(uri: string): Promise<unknown>
  toolNames(): Promise<string[]>
  close(): Promise<void>
}

/** What the client answers to each kind of request of the server. */
function answers (heard: EventEmitter) {
  return {
    sample: (prompt: unknown) => ({
      model: 'echo',
      role: 'assistant' as const,
      content: { type: 'text' as const, text: `You said: ${JSON.stringify(prompt)}` }
    }),
    roots: () => ({ roots: [{ uri: 'file:///home/alice', name: 'home' }] }),
    elicit: async (
      { mode, message, url }: { mode?: string | undefined, message: string, url?: string },
      signal: AbortSignal
    ) => {
      heard.emit('asked', message)
      if (mode === 'url') heard.emit('visit', url)
      if (message !== 'in vain') {
        return { action: 'accept' as const, ...mode !== 'url' && { content: { colour: 'blue' } } }
      }
      signal.addEventListener('abort', () => {
        heard.emit('given up', signal.reason)
      })
      return await new Promise<never>(() => {})
    }
  }
}

/** The client of SDK 1.x. */
export async function client1 (transport: Transport): Promise<FeatureClient & { client: Client }> {
  const heard = new EventEmitter()
  const { sample, roots, elicit } = answers(heard)
  const client = new Client(clientInfo, { capabilities })
  client.fallbackNotificationHandler = async ({ method, params }) => { heard.emit(method, params) }
  client.setRequestHandler(CreateMessageRequestSchema, async ({ params }, { sendNotification }) => {
    const progressToken = params._meta?.progressToken
    if (progressToken !== undefined) {
      await sendNotification({ method: 'notifications/progress', params: { progressToken, progress: 1 } })
    }
    return sample(params.messages[0]?.content)
  })
  client.setRequestHandler(ElicitRequestSchema, async ({ params }, { signal }) => await elicit(params, signal))
  client.setRequestHandler(ListRootsRequestSchema, async () => roots())
  await client.connect(transport)
  return {
    client,
    heard,
    async call (name, args = {}, options = {}) {
      const result = await client.callTool({ name, arguments: args }, undefined, options)
      return { content: Array.isArray(result.content) ? result.content : [], isError: result.isError === true }
    },
    complete: async (ref, argument) => (await client.complete({ ref, argument })).completion.values,
    setLevel: level => client.setLoggingLevel(level),
    subscribe: uri => client.subscribeResource({ uri }),
    unsubscribe: uri => client.unsubscribeResource({ uri }),
    toolNames: async () => (await client.listTools()).tools.map(({ name }) => name),
    close: () => client.close()
  }
}

/** The client of SDK 2.x, in its default (legacy) mode. */
export async function client2 (url: string): Promise<FeatureClient> {
  const heard = new EventEmitter()
  const { sample, roots, elicit } = answers(heard)
  const client = new Client2(clientInfo, { capabilities })
  client.fallbackNotificationHandler = async ({ method, params }) => { heard.emit(method, params) }
  client.setRequestHandler('sampling/createMessage', async ({ params }, { mcpReq }) => {
    const progressToken = params._meta?.progressToken
    if (progressToken !== undefined) {
      await mcpReq.notify({ method: 'notifications/progress', params: { progressToken, progress: 1 } })
    }
    return sample(params.messages[0]?.content)
  })
  client.setRequestHandler('elicitation/create', async ({ params }, { mcpReq }) => await elicit(params, mcpReq.signal))
  client.setRequestHandler('roots/list', async () => roots())
  await client.connect(new StreamableHTTPClientTransport2(new URL(url), { requestInit }))
  return {
    heard,
    call: async (name, args = {}, options = {}) => await client.callTool({ name, arguments: args }, options),
    complete: async (ref, argument) => (await client.complete({ ref, argument })).completion.values,
    setLevel: level => client.setLoggingLevel(level),
    subscribe: uri => client.subscribeResource({ uri }),
    unsubscribe: uri => client.unsubscribeResource({ uri }),
    toolNames: async () => (await client.listTools()).tools.map(({ name }) => name),
    close: () => client.close()
  }
}

/** Every client and transport that the features must work over. */
export const featureClients: Record<string, (service: McpService) => Promise<FeatureClient>> = {
  'SDK 1.x client, Streamable HTTP': service =>
    client1(new StreamableHTTPClientTransport(new URL(`${service.url}/mcp`), { requestInit })),
  'SDK 1.x client, HTTP+SSE': service =>
    client1(
      new SSEClientTransport(new URL(`${service.url}/sse`), {
        requestInit,
        eventSourceInit: {
          fetch: (url, init) =>
            fetch(url, { ...init, headers: { ...requestInit.headers, accept: 'text/event-stream' } })
        }
      })
    ),
  'SDK 2.x client, Streamable HTTP': service => client2(`${service.url}/mcp`)
}
