import Fastify, { type FastifyInstance } from 'fastify'
import type { Test } from 'tap'
import type { CallerInfo } from '../../src/caller.js'
import { InvalidTokenError } from '../../src/errors.js'
import type { McpTransportsOptions } from '../../src/mcp/options.js'
import { createServer as hostedServer } from './sample-server.js'
import { mcpTransports } from '../../src/service/mcp-transports.js'
import { bearerAuth } from '../../src/plugins/mcp/bearer-auth.js'
import { MemoryBus } from '../../src/stores/memory/bus.js'
import { MemoryEventLog } from '../../src/stores/memory/event-log.js'
import { MemoryLeaseStore } from '../../src/stores/memory/leases.js'
import { MemorySessionStore } from '../../src/stores/memory/sessions.js'
import { freePort } from './free-port.js'

/** The transports on a free port of loopback, with tokens that are the names of their callers. */
export interface McpService {
  app: FastifyInstance
  url: string
  bus: MemoryBus
  sessions: MemorySessionStore
  eventLog: MemoryEventLog
}

const caller = (token: string, subject: string, clientId: string, scopes = ['mcp']): CallerInfo =>
  ({ token, clientId, scopes, extra: { issuer: 'https://login.example', subject, grantId: `grant-of-${token}` } })

/** Stands for the broker's tokens. */
const callers = new Map([
  ['alice', caller('alice', 'alice', 'client-1')],
  ['alice-again', caller('alice-again', 'alice', 'client-1', ['mcp', 'more'])],
  ['alice-elsewhere', caller('alice-elsewhere', 'alice', 'client-2')],
  ['bob', caller('bob', 'bob', 'client-1')]
])

/** Starts the transports for a test, with `overrides` laid over the defaults; ends them with it. */
export async function startMcp (t: Test, overrides: Partial<McpTransportsOptions> = {}): Promise<McpService> {
  const { close, ...service } = await runMcp(overrides)
  t.teardown(close)
  return service
}

// a response must not become a stream because the machine is slow
const LONG_MS = 60_000

/** Starts the transports. */
export async function runMcp (
  overrides: Partial<McpTransportsOptions> = {}
): Promise<McpService & { close: () => Promise<void> }> {
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const bus = new MemoryBus()
  const sessions = new MemorySessionStore({ bus, idleSeconds: overrides.limits?.idleSeconds ?? 3600 })
  const eventLog = new MemoryEventLog()
  const app = Fastify({
    forceCloseConnections: true,
    logger: process.env.MCP_TEST_LOG === undefined ? false : { level: 'debug' }
  })
  await app.register(bearerAuth, {
    verifyAccessToken: async token => {
      const found = callers.get(token)
      if (found === undefined) throw new InvalidTokenError('The access token is unknown.')
      return found
    },
    resourceMetadataUrl: () => `${url}/.well-known/oauth-protected-resource/mcp`,
    scopes: ['mcp']
  })
  await app.register(mcpTransports, {
    publicUrl: url,
    createServer: hostedServer,
    bus,
    leases: new MemoryLeaseStore(),
    sessions,
    eventLog,
    ...overrides,
    streams: { silenceMs: LONG_MS, ...overrides.streams }
  })
  const close = async () => {
    await app.close()
    sessions.close()
    eventLog.close()
  }
  await app.listen({ port, host: '127.0.0.1' })
  return { app, url, bus, sessions, eventLog, close }
}

export const initializeParams = (protocolVersion = '2025-11-25', capabilities: Record<string, unknown> = {}) =>
  ({ protocolVersion, capabilities, clientInfo: { name: 'test', version: '1.0.0' } })

/** A client of few words: it says exactly what the test says. An empty token: none. */
export class RawClient {
  sessionId: string | undefined
  protocolVersion: string | undefined
  #id = 0

  constructor (readonly service: Pick<McpService, 'url'>, readonly token = 'alice') {}

  /** The same session at another place, or by another token. */
  at (service: Pick<McpService, 'url'>, token = this.token): RawClient {
    const client = new RawClient(service, token)
    client.sessionId = this.sessionId
    client.protocolVersion = this.protocolVersion
    return client
  }

  headers (more: Record<string, string> = {}): Record<string, string> {
    return {
      ...this.token !== '' && { authorization: `Bearer ${this.token}` },
      ...this.sessionId !== undefined && { 'mcp-session-id': this.sessionId },
      ...this.protocolVersion !== undefined && { 'mcp-protocol-version': this.protocolVersion },
      ...more
    }
  }

  /** POSTs to /mcp. */
  async post (body: unknown, headers: Record<string, string> = {}, signal?: AbortSignal): Promise<Response> {
    return await fetch(`${this.service.url}/mcp`, {
      method: 'POST',
      headers: this.headers({
        'content-type': 'application/json',
        accept: 'application/json, text/event-stream',
        ...headers
      }),
      body: typeof body === 'string' ? body : JSON.stringify(body),
      ...signal && { signal }
    })
  }

  /** GETs /mcp. */
  async get (headers: Record<string, string> = {}, signal?: AbortSignal): Promise<Response> {
    return await fetch(`${this.service.url}/mcp`, {
      headers: this.headers({ accept: 'text/event-stream', ...headers }),
      ...signal && { signal }
    })
  }

  async request (
    method: string,
    params?: Record<string, unknown>,
    headers: Record<string, string> = {},
    signal?: AbortSignal
  ): Promise<Response> {
    return await this.post({ jsonrpc: '2.0', id: ++this.#id, method, ...params && { params } }, headers, signal)
  }

  async notify (method: string, params?: Record<string, unknown>): Promise<Response> {
    return await this.post({ jsonrpc: '2.0', method, ...params && { params } })
  }

  /** Initializes a session. */
  async connect (protocolVersion = '2025-11-25', capabilities: Record<string, unknown> = {}): Promise<this> {
    const response = await this.request('initialize', initializeParams(protocolVersion, capabilities))
    if (response.status !== 200) throw new Error(`initialize: ${response.status} ${await response.text()}`)
    await response.json()
    this.sessionId = response.headers.get('mcp-session-id') ?? undefined
    this.protocolVersion = protocolVersion
    await this.notify('notifications/initialized')
    return this
  }
}
