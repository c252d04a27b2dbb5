import { OAuthError } from '../errors.js'
import type { JSONRPCRequest } from '@modelcontextprotocol/server'
import { Counter, Registry } from 'prom-client'
import { classifyEnd, type McpCounts, type McpObserver, type RequestEnd } from '../mcp/observer.js'
import type { BrokerEvent, BrokerObserver, TokenEvent } from '../oauth/login-events.js'
import type { UpstreamObserver } from '../oauth/upstream-observer.js'
import type { ObservedCommand } from '../stores/redis/connection/connection.js'
import { addGauge, addHistogram } from './instruments.js'
import { isObject } from '../members.js'

// of every revision; any other method that a client names is `other`
const METHODS = new Set([
  'initialize',
  'ping',
  'tools/list',
  'tools/call',
  'resources/list',
  'resources/templates/list',
  'resources/read',
  'resources/subscribe',
  'resources/unsubscribe',
  'prompts/list',
  'prompts/get',
  'completion/complete',
  'logging/setLevel',
  'tasks/get',
  'tasks/list',
  'tasks/result',
  'tasks/cancel',
  'tasks/update',
  'server/discover'
])
const MAX_TOOLS = 200

/**
 * The figures of one service for Prometheus, by default in a registry of its own, so that two services in one process
 * do not mix. Its members are what the parts of a service take as observers. Labels are bounded: nobody outside can
 * make one up.
 * @example
 * ```ts
 * import Fastify from 'fastify'
 * import { mcpService, Metrics } from 'fastify-mcp-oauth'
 * import { options } from './options.js'
 *
 * const app = Fastify()
 * const { registry, mcpObserver, brokerObserver, upstreamObserver } = new Metrics()
 * await app.register(mcpService, { ...options, mcpObserver, observers: [brokerObserver], upstreamObserver })
 * app.get('/metrics', async (_request, reply) => reply.type(registry.contentType).send(await registry.metrics()))
 * ```
 */
export class Metrics {
  /** Where the figures are: what `/metrics` shows. */
  readonly registry: Registry
  /** For the option `mcpObserver`. */
  readonly mcpObserver: McpObserver
  /** For the option `observers` of the broker. */
  readonly brokerObserver: BrokerObserver
  /** For the option `upstreamObserver`. */
  readonly upstreamObserver: UpstreamObserver
  /** For the option `audit.onEvents`. */
  readonly onAuditEvents: (outcome: 'written' | 'lost', count: number) => void
  /** For the option `onCommand` of the Redis stores. */
  readonly onCommand: (command: ObservedCommand) => void

  constructor (registry = new Registry()) {
    this.registry = registry
    this.mcpObserver = createMcpObserver(registry)
    this.brokerObserver = createBrokerObserver(registry)
    this.upstreamObserver = createUpstreamObserver(registry)
    const audited = new Counter({
      name: 'audit_events_total',
      help: 'Events of the audit log: written, or lost',
      labelNames: ['outcome'],
      registers: [registry]
    })
    this.onAuditEvents = (outcome, count) => { audited.inc({ outcome }, count) }
    const commands = addHistogram(registry, 'store_command_duration_seconds', 'Time that Redis took for a command', [
      'outcome'
    ])
    this.onCommand = ({ outcome, seconds }) => {
      commands.observe({ outcome }, seconds)
    }
  }
}

function createMcpObserver (registry: Registry): McpObserver {
  const readers: Array<() => McpCounts> = []
  const sum = (count: keyof McpCounts) => () => readers.reduce((sum, read) => sum + read()[count], 0)
  addGauge(registry, 'mcp_sessions', 'Sessions that this process holds', sum('sessions'))
  addGauge(registry, 'mcp_server_instances', 'MCP server instances that this process holds', sum('instances'))
  addGauge(registry, 'mcp_streams', 'SSE streams of sessions that this process holds open', sum('streams'))

  const requests = addHistogram(
    registry,
    'mcp_request_duration_seconds',
    'Time that the MCP server took for a request',
    ['method', 'tool', 'outcome', 'server']
  )
  const refusals = new Counter({
    name: 'mcp_refused_requests_total',
    help: 'Requests that a limit has refused, or the policy in a response of HTTP 200',
    labelNames: ['limit', 'server'],
    registers: [registry]
  })
  const tools = new ToolNames()
  return {
    ended ({ request, server }, end, ms) {
      const method = METHODS.has(request.method) ? request.method : 'other'
      requests.observe(
        {
          method,
          tool: tools.findLabel(request, end),
          outcome: classifyEnd(end),
          ...server !== undefined && { server }
        },
        ms / 1000
      )
    },
    refused: (limit, server) => { refusals.inc({ limit, ...server !== undefined && { server } }) },
    denied: ({ server }) => { refusals.inc({ limit: 'policy', ...server !== undefined && { server } }) },
    counts: read => { readers.push(read) }
  }
}

function createBrokerObserver (registry: Registry): BrokerObserver {
  const tokens = new Counter({
    name: 'oauth_token_requests_total',
    help: 'Token requests',
    labelNames: ['grant_type', 'outcome'],
    registers: [registry]
  })
  const logins = new Counter({
    name: 'oauth_logins_total',
    help: 'Logins, as they end',
    labelNames: ['outcome', 'reason'],
    registers: [registry]
  })
  return event => {
    const login = classifyLogin(event)
    if (login !== undefined) logins.inc(login)
    if (event.type !== 'token') return
    const grantType = event.grantType === 'authorization_code' || event.grantType === 'refresh_token'
      ? event.grantType
      : 'other'
    tokens.inc({ grant_type: grantType, outcome: classifyOutcome(event) })
  }
}

/** How a login ended, if the event ends one: with its tokens, or with a step that failed. */
function classifyLogin (event: BrokerEvent): { outcome: 'completed' | 'failed', reason: string } | undefined {
  if (!isLoginStep(event)) return undefined
  const { type, error } = event
  if (error === undefined) return type === 'token' ? { outcome: 'completed', reason: '' } : undefined
  if (!(error instanceof OAuthError)) return { outcome: 'failed', reason: 'server_error' }
  return { outcome: 'failed', reason: error.reason ?? error.code }
}

function isLoginStep (event: BrokerEvent): boolean {
  switch (event.type) {
    case 'authorization':
    case 'consent':
    case 'upstream':
    case 'callback':
      return true
    case 'token':
      return event.grantType === 'authorization_code'
    default:
      return false
  }
}

function classifyOutcome ({ error, repeated }: TokenEvent): string {
  if (error === undefined) return repeated === true ? 'repeated' : 'issued'
  if (!(error instanceof OAuthError)) return 'server_error'
  return error.reason === 'code_used_twice' || error.reason === 'refresh_token_used_twice' ? 'replayed' : error.code
}

function createUpstreamObserver (registry: Registry): UpstreamObserver {
  const upstream = addHistogram(
    registry,
    'oauth_upstream_request_duration_seconds',
    'Time that the upstream authorization server took to respond',
    ['endpoint', 'outcome']
  )
  return {
    upstreamRequest: ({ endpoint, statusCode, seconds }) => {
      upstream.observe({
        endpoint,
        outcome: statusCode === undefined ? 'unreachable' : `${Math.floor(statusCode / 100)}xx`
      }, seconds)
    }
  }
}

/** The tools that exist: a server has listed them, or they have responded. Clients may name anything. */
class ToolNames {
  readonly #names = new Set<string>()

  findLabel ({ method, params }: JSONRPCRequest, end: RequestEnd): string {
    if (method === 'tools/list') this.#addListed(end)
    if (method !== 'tools/call' || typeof params?.name !== 'string') return ''
    if (classifyEnd(end) === 'ok') this.#add(params.name)
    return this.#names.has(params.name) ? params.name : 'unknown'
  }

  #addListed (end: RequestEnd): void {
    const listed = typeof end === 'object' && 'result' in end ? end.result.tools : undefined
    if (!Array.isArray(listed)) return
    for (const tool of listed) if (isObject(tool) && typeof tool.name === 'string') this.#add(tool.name)
  }

  #add (name: string): void {
    if (this.#names.size < MAX_TOOLS) this.#names.add(name)
  }
}
