import { EventEmitter } from 'node:events'
import {
  Client as Client2,
  LOG_LEVEL_META_KEY,
  ProtocolError,
  StreamableHTTPClientTransport as StreamableHTTPClientTransport2,
  type VersionNegotiationOptions
} from '@modelcontextprotocol/client'
import { Client as Client1 } from '@modelcontextprotocol/sdk/client/index.js'
import {
  StreamableHTTPClientTransport as StreamableHTTPClientTransport1,
  type StreamableHTTPClientTransportOptions
} from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import {
  CreateMessageRequestSchema,
  ElicitRequestSchema,
  ListRootsRequestSchema,
  McpError,
  type LoggingLevel
} from '@modelcontextprotocol/sdk/types.js'
import { emitted } from '../support/emitted.js'
import { objectOf } from '../support/json.js'

const clientInfo = { name: 'era-client', version: '1.0.0' }
const capabilities = { sampling: {}, elicitation: { form: {}, url: {} }, roots: {} }

export interface CallOptions {
  onprogress?: (update: { progress: number, message?: string | undefined }) => void
  signal?: AbortSignal
  /** Of the log messages wanted. */
  level?: LoggingLevel
}

interface CallResult {
  isError?: boolean | undefined
  content: unknown[]
  structuredContent?: unknown
}

/** What the tests need of a client, whichever SDK it comes from and whichever era it speaks. */
export interface EraClient {
  /**
   * Emits every notification of the server by its method, with its parameters; `asked` with the message of an
   * elicitation.
   */
  heard: EventEmitter
  /** The revision that was agreed on. */
  revision: string | undefined
  instructions: string | undefined
  call (name: string, args?: Record<string, unknown>, options?: CallOptions): Promise<CallResult>
  prompt (name: string, args?: Record<string, string>): Promise<unknown>
  read (uri: string): Promise<{ contents: unknown[] }>
  toolNames (): Promise<string[]>
  /** What an argument of a resource's template may be. */
  complete (uri: string, argument: { name: string, value: string }): Promise<string[]>
  /** Listens for list changes, and for updates of a resource. */
  listen (uri: string): Promise<void>
  /** The code and data of an error. */
  errorOf (error: unknown): { code: number, data: unknown } | undefined
  close (): Promise<void>
}

/** How a client gets its tokens. */
export type ClientAuth = Pick<StreamableHTTPClientTransportOptions, 'requestInit' | 'authProvider' | 'fetch'>

const bearer = (token: string): ClientAuth => ({ requestInit: { headers: { authorization: `Bearer ${token}` } } })

/** What the client answers to each thing that it is asked for. */
const answers = (heard: EventEmitter) => ({
  sample: () => ({ model: 'echo', role: 'assistant' as const, content: { type: 'text' as const, text: 'sampled' } }),
  roots: () => ({ roots: [{ uri: 'file:///home/alice', name: 'home' }] }),
  elicit: ({ mode, message, requestedSchema }: Elicitation) => {
    heard.emit('asked', message)
    const agreed = Object.entries(requestedSchema?.properties ?? {}).filter(([, { type }]) => type === 'boolean')
      .map(([name]) => [name, true] as const)
    const content: Record<string, string | boolean> = { colour: `blue, to ${message}`, ...Object.fromEntries(agreed) }
    return { action: 'accept' as const, ...mode !== 'url' && { content } }
  }
})

interface Elicitation {
  mode?: string | undefined
  message: string
  requestedSchema?: { properties: Record<string, { type: string }> }
}

/** Connects the client of SDK 1.x. */
export async function connect1 (url: string, auth: ClientAuth = bearer('alice')): Promise<EraClient> {
  const heard = new EventEmitter()
  const { sample, roots, elicit } = answers(heard)
  const client = new Client1(clientInfo, { capabilities })
  client.fallbackNotificationHandler = async ({ method, params }) => { heard.emit(method, params) }
  client.setRequestHandler(CreateMessageRequestSchema, sample)
  client.setRequestHandler(ElicitRequestSchema, ({ params }) => elicit(params))
  client.setRequestHandler(ListRootsRequestSchema, roots)
  const transport = new StreamableHTTPClientTransport1(new URL(`${url}/mcp`), auth)
  await client.connect(transport)
  return {
    heard,
    revision: transport.protocolVersion,
    instructions: client.getInstructions(),
    async call (name, args = {}, { level, ...options } = {}) {
      if (level !== undefined) await client.setLoggingLevel(level)
      const result = await client.callTool({ name, arguments: args }, undefined, options)
      const { content, isError, structuredContent } = result
      return { content: Array.isArray(content) ? content : [], isError: isError === true, structuredContent }
    },
    prompt: (name, args = {}) => client.getPrompt({ name, arguments: args }),
    read: uri => client.readResource({ uri }),
    toolNames: async () => (await client.listTools()).tools.map(({ name }) => name),
    complete: async (uri, argument) =>
      (await client.complete({ ref: { type: 'ref/resource', uri }, argument })).completion.values,
    async listen (uri) { await client.subscribeResource({ uri }) },
    errorOf: error => error instanceof McpError ? { code: error.code, data: error.data } : undefined,
    close: () => client.close()
  }
}

/** Connects the client of SDK 2.x. */
export async function connect2 (
  url: string,
  mode: NonNullable<VersionNegotiationOptions['mode']>,
  auth: ClientAuth = bearer('alice')
): Promise<EraClient> {
  const heard = new EventEmitter()
  const { sample, roots, elicit } = answers(heard)
  const client = new Client2(clientInfo, { capabilities, versionNegotiation: { mode } })
  client.fallbackNotificationHandler = async ({ method, params }) => { heard.emit(method, params) }
  client.setRequestHandler('sampling/createMessage', sample)
  client.setRequestHandler('elicitation/create', ({ params }) => elicit(params))
  client.setRequestHandler('roots/list', roots)
  await client.connect(new StreamableHTTPClientTransport2(new URL(`${url}/mcp`), auth))
  const modern = client.getProtocolEra() === 'modern'
  return {
    heard,
    revision: client.getNegotiatedProtocolVersion(),
    instructions: client.getInstructions(),
    async call (name, args = {}, { level, ...options } = {}) {
      if (level !== undefined && !modern) await client.setLoggingLevel(level)
      return await client.callTool({
        name,
        arguments: args,
        ...level !== undefined && modern && { _meta: { [LOG_LEVEL_META_KEY]: level } }
      }, options)
    },
    prompt: (name, args = {}) => client.getPrompt({ name, arguments: args }),
    read: uri => client.readResource({ uri }),
    toolNames: async () => (await client.listTools()).tools.map(({ name }) => name),
    complete: async (uri, argument) =>
      (await client.complete({ ref: { type: 'ref/resource', uri }, argument })).completion.values,
    async listen (uri) {
      if (modern) {
        await client.listen({
          toolsListChanged: true,
          promptsListChanged: true,
          resourcesListChanged: true,
          resourceSubscriptions: [uri]
        })
      } else await client.subscribeResource({ uri })
    },
    errorOf: error => error instanceof ProtocolError ? { code: error.code, data: error.data } : undefined,
    close: () => client.close()
  }
}

/** Every client that must be served, and whether it speaks 2026-07-28 with us. */
export const eraClients: Record<
  string,
  { modern: boolean, connect: (url: string, auth?: ClientAuth) => Promise<EraClient> }
> = {
  'SDK 2.x client, pinned to 2026-07-28': {
    modern: true,
    connect: (url, auth) => connect2(url, { pin: '2026-07-28' }, auth)
  },
  'SDK 2.x client, in automatic negotiation': { modern: true, connect: (url, auth) => connect2(url, 'auto', auth) },
  'SDK 2.x client, in legacy mode': { modern: false, connect: (url, auth) => connect2(url, 'legacy', auth) },
  'SDK 1.x client': { modern: false, connect: connect1 }
}

/** The next notification of a method. */
export async function heardBy (client: EraClient, method: string): Promise<Record<string, unknown>> {
  const [params] = await emitted(client.heard, method)
  return objectOf(params ?? {})
}

export function textOf ({ content }: { content: unknown[] }): string {
  const [first] = content
  return typeof first === 'object' && first !== null && 'text' in first && typeof first.text === 'string'
    ? first.text
    : ''
}
