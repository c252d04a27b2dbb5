import { randomBytes } from 'node:crypto'
import Fastify from 'fastify'
import type { Test } from 'tap'
import * as z from 'zod'
import type { CallerInfo } from '../../src/caller.js'
import { InvalidTokenError } from '../../src/errors.js'
import { requestLog } from '../../src/plugins/app/request-log.js'
import { mcpService } from '../../src/service/mcp-service.js'
import type { HostAuthModeOptions } from '../../src/service/plugin-options.js'
import { modernRequest } from '../../src/testing/modern-request.js'
import { parseData, readEvents, next, type SseEvent } from '../support/raw-http.js'
import { initializeParams } from '../support/mcp-harness.js'
import { freePort } from '../support/free-port.js'

/** A service whose tokens say who calls: `person`, or `person:scope,scope`. */
export interface HostedService {
  url: string
}

export const ISSUER = 'https://login.example'

export type HostedOptions = Partial<HostAuthModeOptions> & Pick<HostAuthModeOptions, 'createServer' | 'stores'>

/** @param log gets the lines of the log. Default: there is none */
export async function host (
  t: Test,
  options: HostedOptions,
  log?: { write (line: string): void }
): Promise<HostedService> {
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const app = Fastify({ forceCloseConnections: true, ...log !== undefined && { logger: { stream: log } } })
  if (log !== undefined) await app.register(requestLog)
  await app.register(mcpService, {
    publicUrl: url,
    auth: { mode: 'host', authorizationServers: [ISSUER], verifyAccessToken: callerOf },
    ...options
  })
  await app.listen({ port, host: '127.0.0.1' })
  t.teardown(() => app.close())
  return { url }
}

export function callerOf (token: string): CallerInfo {
  const [subject = '', scopes = 'mcp'] = token.split('_')
  if (subject === '') throw new InvalidTokenError('The access token is unknown.')
  return {
    token,
    clientId: 'client',
    scopes: scopes.split('.').filter(scope => scope !== ''),
    extra: { issuer: ISSUER, subject }
  }
}

/** What a caller asks for. */
export interface Asked {
  method: string
  params?: Record<string, unknown>
}

/** The token of those who have none. */
export const NO_TOKEN = ''

const authorize = (token: string): { authorization?: string } =>
  token === NO_TOKEN ? {} : { authorization: `Bearer ${token}` }

/** A message that may be a response. */
const RESPONSE = z.looseObject({
  result: z.looseObject({}).optional(),
  error: z.looseObject({ code: z.number(), message: z.string() }).optional()
})

/** What became of it. */
export interface Told {
  status: number
  challenge: string | null
  headers: Headers
  /** Responses, in the order asked. */
  responses: Array<z.output<typeof RESPONSE>>
}

/** One client, of one person, the way its era has it. */
export interface EraCaller {
  /** @param at another replica. Default: the one that it has connected to */
  ask (token: string, asked: readonly Asked[], batch?: boolean, at?: HostedService): Promise<Told>
}

/** A way to reach a server. */
export interface Way {
  sessionMode: 'stateful' | 'stateless'
  reuseInstances?: boolean
  takesBatches: boolean
  connect (t: Test, service: HostedService, token: string): Promise<EraCaller>
}

function messagesOf (asked: readonly Asked[]) {
  return asked.map((request, index) => ({ jsonrpc: '2.0', id: index + 1, ...request }))
}

/** What has come at once: a message, a batch of them, or nothing. */
function arrived (json: unknown): Told['responses'] {
  if (json === undefined) return []
  return z.array(RESPONSE).parse(Array.isArray(json) ? json : [json])
}

function responsesIn (event: SseEvent): Told['responses'] {
  return arrived(parseData(event)).filter(message => 'id' in message && !('method' in message))
}

async function told (response: Response, count: number): Promise<Told> {
  const { status, headers } = response
  const responses: Told['responses'] = []
  if (headers.get('content-type')?.startsWith('text/event-stream') === true) {
    for await (const event of readEvents(response)) responses.push(...responsesIn(event))
  } else {
    const text = await response.text()
    if (status === 200 && count > 0) responses.push(...arrived(JSON.parse(text)))
  }
  responses.sort((a, b) => Number(a.id) - Number(b.id))
  return { status, headers, challenge: headers.get('www-authenticate'), responses }
}

async function post (
  url: string,
  token: string,
  body: unknown,
  headers: Record<string, string> = {}
): Promise<Response> {
  return await fetch(url, {
    method: 'POST',
    headers: {
      ...authorize(token),
      'content-type': 'application/json',
      accept: 'application/json, text/event-stream',
      ...headers
    },
    body: JSON.stringify(body)
  })
}

function session (protocolVersion: string): Way['connect'] {
  return async (_t, { url }, token) => {
    const response = await post(`${url}/mcp`, token, {
      jsonrpc: '2.0',
      id: 0,
      method: 'initialize',
      params: initializeParams(protocolVersion)
    })
    if (response.status !== 200) throw new Error(`initialize: ${response.status} ${await response.text()}`)
    await response.text()
    const headers = {
      'mcp-session-id': response.headers.get('mcp-session-id') ?? '',
      'mcp-protocol-version': protocolVersion
    }
    await (await post(`${url}/mcp`, token, { jsonrpc: '2.0', method: 'notifications/initialized' }, headers)).text()
    return {
      ask: async (token, asked, batch = false, at = { url }) =>
        await told(
          await post(`${at.url}/mcp`, token, batch ? messagesOf(asked) : messagesOf(asked)[0], headers),
          asked.length
        )
    }
  }
}

function sessionless (protocolVersion: string): Way['connect'] {
  return async (_t, { url }) => ({
    ask: async (token, asked, batch = false, at = { url }) =>
      await told(
        await post(`${at.url}/mcp`, token, batch ? messagesOf(asked) : messagesOf(asked)[0], {
          'mcp-protocol-version': protocolVersion
        }),
        asked.length
      )
  })
}

const modern: Way['connect'] = async (_t, { url }) => ({
  ask: async (token, [first], _batch, at = { url }) => {
    const { headers, ...request } = modernRequest(1, first?.method ?? '', first?.params ?? {}, {
      'io.modelcontextprotocol/clientCapabilities': {}
    })
    return await told(
      await fetch(`${at.url}/mcp`, { ...request, headers: { ...headers, ...authorize(token) } }),
      1
    )
  }
})

const httpAndSse: Way['connect'] = async (t, { url }, token) => {
  const opened = new AbortController()
  t.teardown(() => {
    opened.abort()
  })
  const stream = await fetch(`${url}/sse`, {
    headers: { ...authorize(token), accept: 'text/event-stream' },
    signal: opened.signal
  })
  const events: AsyncGenerator<SseEvent, undefined> = readEvents(stream)
  const endpoint = (await next(events)).data ?? ''
  let lastId = 100
  const ask: EraCaller['ask'] = async (token, asked, batch = false, at = { url }) => {
    const messages = messagesOf(asked).map(message => ({ ...message, id: ++lastId }))
    const response = await post(endpoint.replace(url, at.url), token, batch ? messages : messages[0])
    await response.text()
    const responses: Told['responses'] = []
    if (response.status === 202) {
      while (responses.length < (batch ? messages.length : 1)) responses.push(...responsesIn(await next(events)))
    }
    responses.sort((a, b) => Number(a.id) - Number(b.id))
    return {
      status: response.status,
      headers: response.headers,
      challenge: response.headers.get('www-authenticate'),
      responses
    }
  }
  await ask(token, [{ method: 'initialize', params: initializeParams('2025-03-26') }])
  await (await post(endpoint, token, { jsonrpc: '2.0', method: 'notifications/initialized' })).text()
  return { ask }
}

/** Every era and mode. */
export const WAYS: Readonly<Record<string, Way>> = {
  '2025-11-25 × session': { sessionMode: 'stateful', takesBatches: false, connect: session('2025-11-25') },
  '2025-03-26 × session': { sessionMode: 'stateful', takesBatches: true, connect: session('2025-03-26') },
  '2024-11-05 × HTTP+SSE': { sessionMode: 'stateful', takesBatches: true, connect: httpAndSse },
  '2025-11-25 × sessionless': { sessionMode: 'stateless', takesBatches: false, connect: sessionless('2025-11-25') },
  '2025-03-26 × sessionless': { sessionMode: 'stateless', takesBatches: true, connect: sessionless('2025-03-26') },
  '2026-07-28 × fresh instances': { sessionMode: 'stateful', takesBatches: false, connect: modern },
  '2026-07-28 × reused instances': {
    sessionMode: 'stateful',
    reuseInstances: true,
    takesBatches: false,
    connect: modern
  }
}

/** A key that replicas share. */
export const newEncryptionKeys = (): string => `k1:${randomBytes(32).toString('base64url')}`
