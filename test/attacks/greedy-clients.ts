import { CLIENT_CAPABILITIES_META_KEY, LOG_LEVEL_META_KEY } from '@modelcontextprotocol/server'
import { modernRequest } from '../../src/testing/modern-request.js'

export const MCP_URL = 'http://localhost:5050'

/** A client that says what it is told, with a token. */
export interface GreedyClient {
  /** Calls tools, in one batch if there are several. @returns the response as soon as it begins */
  call (...tools: readonly string[]): Promise<Response>
  /** Calls a tool with arguments. */
  callWith (tool: string, args: Record<string, unknown>): Promise<Response>
  /** Opens a stream to listen; with `uris`, to their resources. */
  listen (uris?: readonly string[]): Promise<Response>
  /** Subscribes to resources. */
  subscribe (uris: readonly string[]): Promise<Response>
}

/** A way to the server: a revision, in one of the ways that it is served. */
export interface Way {
  name: string
  sessionMode: 'stateful' | 'stateless'
  sdk: 1 | 2
  reuseInstances: boolean
  /** What a client of this kind can do besides calling tools. */
  can: ReadonlySet<'batch' | 'listen' | 'subscribe' | 'suspend'>
  connect (fetch: typeof globalThis.fetch, token: string): Promise<GreedyClient>
}

const params = (name: string, args: Record<string, unknown> = {}) => ({ name, arguments: args })
const json = { 'content-type': 'application/json', accept: 'application/json, text/event-stream' }

async function connectSession (
  fetch: typeof globalThis.fetch,
  token: string,
  protocolVersion: string
): Promise<GreedyClient> {
  const authorization = `Bearer ${token}`
  const post = async (body: unknown, headers: Record<string, string>) =>
    await fetch(`${MCP_URL}/mcp`, {
      method: 'POST',
      headers: { ...json, authorization, ...headers },
      body: JSON.stringify(body)
    })
  const begun = await post(initialize(protocolVersion), {})
  if (begun.status !== 200) return refusing(begun)
  const headers = {
    'mcp-session-id': begun.headers.get('mcp-session-id') ?? '',
    'mcp-protocol-version': protocolVersion
  }
  await post({ jsonrpc: '2.0', method: 'notifications/initialized' }, headers)
  return messages(
    async body => await post(body, headers),
    async () => await fetch(`${MCP_URL}/mcp`, { headers: { authorization, accept: 'text/event-stream', ...headers } })
  )
}

async function connectSse (fetch: typeof globalThis.fetch, token: string): Promise<GreedyClient> {
  const authorization = `Bearer ${token}`
  const stream = await fetch(`${MCP_URL}/sse`, { headers: { authorization, accept: 'text/event-stream' } })
  if (stream.status !== 200 || stream.body === null) return refusing(stream)
  const { value } = await stream.body.pipeThrough(new TextDecoderStream()).getReader().read()
  const endpoint = /^data: (.+)$/m.exec(String(value))?.[1] ?? ''
  const post = async (body: unknown) =>
    await fetch(endpoint, { method: 'POST', headers: { ...json, authorization }, body: JSON.stringify(body) })
  await post(initialize('2024-11-05'))
  return messages(
    post,
    async () => await fetch(`${MCP_URL}/sse`, { headers: { authorization, accept: 'text/event-stream' } })
  )
}

function sessionless (fetch: typeof globalThis.fetch, token: string, protocolVersion: string): GreedyClient {
  const headers = { ...json, authorization: `Bearer ${token}`, 'mcp-protocol-version': protocolVersion }
  return messages(
    async body => await fetch(`${MCP_URL}/mcp`, { method: 'POST', headers, body: JSON.stringify(body) }),
    async () => {
      throw new Error('no streams')
    }
  )
}

function modern (fetch: typeof globalThis.fetch, token: string): GreedyClient {
  let id = 0
  const post = async (method: string, params: Record<string, unknown>) => {
    const { headers, ...request } = modernRequest(++id, method, params, {
      [CLIENT_CAPABILITIES_META_KEY]: { elicitation: { form: {} } },
      [LOG_LEVEL_META_KEY]: 'debug'
    })
    return await fetch(`${MCP_URL}/mcp`, { ...request, headers: { ...headers, authorization: `Bearer ${token}` } })
  }
  const listen = async (uris: readonly string[] = []) =>
    await post('subscriptions/listen', { notifications: { toolsListChanged: true, resourceSubscriptions: uris } })
  return {
    call: async (tool = '') => await post('tools/call', params(tool)),
    callWith: async (tool, args) => await post('tools/call', params(tool, args)),
    listen,
    subscribe: listen
  }
}

function messages (post: (body: unknown) => Promise<Response>, listen: () => Promise<Response>): GreedyClient {
  let id = 1
  const request = (method: string, params: Record<string, unknown>) => ({ jsonrpc: '2.0', id: ++id, method, params })
  const send = async (requests: unknown[]) => await post(requests.length === 1 ? requests[0] : requests)
  return {
    call: async (...tools) => await send(tools.map(tool => request('tools/call', params(tool)))),
    callWith: async (tool, args) => await post(request('tools/call', params(tool, args))),
    listen,
    subscribe: async uris => await send(uris.map(uri => request('resources/subscribe', { uri })))
  }
}

/** Of a client that did not get as far as a session: whatever it does, it is refused. */
function refusing (refusal: Response): GreedyClient {
  const refused = async () => refusal.clone()
  return { call: refused, callWith: refused, listen: refused, subscribe: refused }
}

function initialize (protocolVersion: string) {
  return {
    jsonrpc: '2.0',
    id: 1,
    method: 'initialize',
    params: { protocolVersion, capabilities: {}, clientInfo: { name: 'greedy', version: '1' } }
  }
}

const stateful = { sessionMode: 'stateful', reuseInstances: false } as const
const sessionlessWay = { sessionMode: 'stateless', reuseInstances: false } as const

/** Every way there is. */
export const ways: readonly Way[] = [
  { name: '2024-11-05 HTTP+SSE', ...stateful, sdk: 1, can: new Set(['listen', 'subscribe']), connect: connectSse },
  {
    name: '2025-03-26 session, batches',
    ...stateful,
    sdk: 1,
    can: new Set(['batch', 'listen', 'subscribe']),
    connect: async (fetch, token) => await connectSession(fetch, token, '2025-03-26')
  },
  {
    name: '2025-11-25 session',
    ...stateful,
    sdk: 1,
    can: new Set(['listen', 'subscribe']),
    connect: async (fetch, token) => await connectSession(fetch, token, '2025-11-25')
  },
  {
    name: '2025-11-25 session, SDK 2.x',
    ...stateful,
    sdk: 2,
    can: new Set(['listen', 'subscribe']),
    connect: async (fetch, token) => await connectSession(fetch, token, '2025-11-25')
  },
  {
    name: '2025-03-26 sessionless, batches',
    ...sessionlessWay,
    sdk: 1,
    can: new Set(['batch']),
    connect: async (fetch, token) => sessionless(fetch, token, '2025-03-26')
  },
  {
    name: '2025-11-25 sessionless',
    ...sessionlessWay,
    sdk: 2,
    can: new Set(),
    connect: async (fetch, token) => sessionless(fetch, token, '2025-11-25')
  },
  {
    name: '2026-07-28 native',
    ...stateful,
    sdk: 2,
    can: new Set(['listen', 'subscribe']),
    connect: async (fetch, token) => modern(fetch, token)
  },
  {
    name: '2026-07-28 bridged',
    ...stateful,
    sdk: 1,
    can: new Set(['listen', 'subscribe', 'suspend']),
    connect: async (fetch, token) => modern(fetch, token)
  },
  {
    name: '2026-07-28 native, reused',
    sessionMode: 'stateless',
    reuseInstances: true,
    sdk: 2,
    can: new Set(['listen', 'subscribe']),
    connect: async (fetch, token) => modern(fetch, token)
  },
  {
    name: '2026-07-28 bridged, reused',
    sessionMode: 'stateless',
    reuseInstances: true,
    sdk: 1,
    can: new Set(['listen', 'subscribe', 'suspend']),
    connect: async (fetch, token) => modern(fetch, token)
  }
]
