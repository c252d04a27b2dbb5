import { collectDefaultMetrics, Counter, Gauge } from 'prom-client'
import type { EventLog } from '../stores/event-log.js'
import { packageVersion } from '../version.js'
import type { EndedRequest } from './ended-request.js'
import { addHistogram, addGauge } from './instruments.js'
import { Metrics } from './metrics.js'

/**
 * The same with what only a whole process has: its HTTP requests, its event log, its build, its memory. An app around
 * the plugins has figures of its own for these, often by the same names.
 */
export class ServiceMetrics extends Metrics {
  /** For the plugin `request-log`. */
  readonly onRequestEnd: (request: EndedRequest) => void
  /** For the checks of `/readyz`. */
  readonly onCheck: (check: string, ok: boolean) => void
  /** For the process: a promise was rejected, and nobody handled it. */
  readonly onUnhandledRejection: () => void

  constructor () {
    super()
    const requests = addHistogram(
      this.registry,
      'http_request_duration_seconds',
      'Time from a request to the end of its response, except for streams that clients open to listen',
      ['method', 'route', 'status_code']
    )
    this.onRequestEnd = ({ method, route = 'unmatched', statusCode, seconds }) => {
      requests.observe({ method, route, status_code: statusCode }, seconds)
    }
    const unhandled = new Counter({
      name: 'process_unhandled_rejections_total',
      help: 'Unhandled promise rejections: a bug, of this service or of the server that it hosts',
      registers: [this.registry]
    })
    this.onUnhandledRejection = () => {
      unhandled.inc()
    }
    const checks = new Gauge({
      name: 'mcp_check_ok',
      help: 'Whether what this process depends on could be reached, when /readyz was last asked: 1 or 0',
      labelNames: ['check'],
      registers: [this.registry]
    })
    this.onCheck = (check, ok) => { checks.set({ check }, ok ? 1 : 0) }
    const build = new Gauge({
      name: 'mcp_build_info',
      help: 'What runs here',
      labelNames: ['version', 'node_version'],
      registers: [this.registry]
    })
    build.set({ version: packageVersion(), node_version: process.version }, 1)
    collectDefaultMetrics({ register: this.registry })
  }

  /** Adds the size of an event log, if this process keeps it. */
  watchEventLog (eventLog: EventLog): void {
    if (eventLog.bytes === undefined) return
    addGauge(this.registry, 'mcp_event_log_bytes', 'Characters of events that are kept for clients that resume', () =>
      eventLog.bytes ?? 0)
  }
}
