import { OAuthError } from '../errors.js'
import type { JSONRPCRequest } from '@modelcontextprotocol/server'
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client'
import { classifyEnd, type McpCounts, type McpObserver, type RequestEnd } from '../mcp/observer.js'
import type { BrokerObserver, TokenEvent } from '../oauth/login-events.js'
import type { UpstreamObserver } from '../oauth/upstream-observer.js'
import type { EndedRequest } from './ended-request.js'
import type { EventLog } from '../stores/event-log.js'
import type { ObservedCommand } from '../stores/redis/connection.js'
import { packageVersion } from '../version.js'
import { isObject } from '../members.js'

// of every revision; what else a client names is `other`
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
const BUCKETS = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60]

/**
 * The figures of one service for Prometheus, in a registry of its own: two services in one process do not mix. Its members
 * are what the parts of a service take to be observed. Labels are bounded: nobody outside can make one up.
 */
export class Metrics {
  readonly registry: Registry
  /** For the option `mcpObserver`. */
  readonly mcpObserver: McpObserver
  /** For the option `observers` of the broker. */
  readonly brokerObserver: BrokerObserver
  /** For the option `upstreamObserver`. */
  readonly upstreamObserver: UpstreamObserver
  /** For the option `onCommand` of the Redis stores. */
  readonly onCommand: (command: ObservedCommand) => void
  /** For the plugin `request-log`. */
  readonly onRequestEnd: (request: EndedRequest) => void
  /** For the process: a promise was rejected, and nobody handled it. */
  readonly onUnhandledRejection: () => void

  constructor (registry = new Registry()) {
    this.registry = registry
    this.mcpObserver = mcpMetrics(registry)
    this.brokerObserver = brokerMetrics(registry)
    this.upstreamObserver = upstreamMetrics(registry)
    const commands = durations(registry, 'store_command_duration_seconds', 'Time that Redis took to answer a command', [
      'outcome'
    ])
    this.onCommand = ({ outcome, seconds }) => {
      commands.observe({ outcome }, seconds)
    }
    const unhandled = new Counter({
      name: 'process_unhandled_rejections_total',
      help: 'Promises that were rejected while nobody held them: a bug, of this service or of the server that it hosts',
      registers: [registry]
    })
    this.onUnhandledRejection = () => {
      unhandled.inc()
    }
    const requests = durations(
      registry,
      'http_request_duration_seconds',
      'Time from a request to the end of its response, but for streams that clients open to listen',
      ['method', 'route', 'status_code']
    )
    this.onRequestEnd = ({ method, route = 'unmatched', statusCode, seconds }) => {
      requests.observe({ method, route, status_code: statusCode }, seconds)
    }
  }

  /** Adds what there is one of in a service: its event log, its build, its process. */
  describeService (eventLog: EventLog): void {
    if (eventLog.bytes !== undefined) {
      gauge(this.registry, 'mcp_event_log_bytes', 'Characters of events that are kept for clients that resume', () =>
        eventLog.bytes ?? 0)
    }
    const build = new Gauge({
      name: 'mcp_build_info',
      help: 'What runs here',
      labelNames: ['version', 'node_version'],
      registers: [this.registry]
    })
    build.set({ version: packageVersion(), node_version: process.version }, 1)
    collectDefaultMetrics({ register: this.registry })
  }
}

function durations<Label extends string> (
  registry: Registry,
  name: string,
  help: string,
  labelNames: readonly Label[]
): Histogram<Label> {
  return new Histogram({ name, help, labelNames: [...labelNames], buckets: BUCKETS, registers: [registry] })
}

/** A gauge that is read when it is asked for. */
function gauge (registry: Registry, name: string, help: string, read: () => number): Gauge {
  return new Gauge({ name, help, registers: [registry], collect () { this.set(read()) } })
}

function mcpMetrics (registry: Registry): McpObserver {
  const readers: Array<() => McpCounts> = []
  const sum = (count: keyof McpCounts) => () => readers.reduce((sum, read) => sum + read()[count], 0)
  gauge(registry, 'mcp_sessions', 'Sessions that this process has to do with', sum('sessions'))
  gauge(registry, 'mcp_server_instances', 'MCP server instances that this process holds', sum('instances'))
  gauge(registry, 'mcp_streams', 'SSE streams of sessions that this process holds open', sum('streams'))

  const requests = durations(
    registry,
    'mcp_request_duration_seconds',
    'Time that the MCP server took to answer a request',
    ['method', 'tool', 'outcome']
  )
  const refusals = new Counter({
    name: 'mcp_refused_requests_total',
    help: 'Requests that a limit has refused',
    labelNames: ['limit'],
    registers: [registry]
  })
  const tools = new ToolNames()
  return {
    request ({ request }, run) {
      const begun = performance.now()
      run()
      return end => {
        const method = METHODS.has(request.method) ? request.method : 'other'
        requests.observe(
          { method, tool: tools.labelOf(request, end), outcome: classifyEnd(end) },
          (performance.now() - begun) / 1000
        )
      }
    },
    refused: limit => { refusals.inc({ limit }) },
    counts: read => { readers.push(read) }
  }
}

function brokerMetrics (registry: Registry): BrokerObserver {
  const tokens = new Counter({
    name: 'oauth_token_requests_total',
    help: 'Token requests',
    labelNames: ['grant_type', 'outcome'],
    registers: [registry]
  })
  return event => {
    if (event.type !== 'token') return
    const grantType = event.grantType === 'authorization_code' || event.grantType === 'refresh_token'
      ? event.grantType
      : 'other'
    tokens.inc({ grant_type: grantType, outcome: tokenOutcome(event) })
  }
}

function tokenOutcome ({ error, repeated }: TokenEvent): string {
  if (error === undefined) return repeated === true ? 'repeated' : 'issued'
  if (!(error instanceof OAuthError)) return 'server_error'
  return error.reason === 'code_used_twice' || error.reason === 'refresh_token_used_twice' ? 'replayed' : error.code
}

function upstreamMetrics (registry: Registry): UpstreamObserver {
  const upstream = durations(
    registry,
    'oauth_upstream_request_duration_seconds',
    'Time that the upstream authorization server took to answer',
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

/** The tools that there are: those that a server has listed, and those that have answered. Clients name what they like. */
class ToolNames {
  readonly #names = new Set<string>()

  labelOf ({ method, params }: JSONRPCRequest, end: RequestEnd): string {
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
