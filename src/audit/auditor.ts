import { randomBytes } from 'node:crypto'
import { hostname } from 'node:os'
import type { JSONRPCRequest } from '@modelcontextprotocol/server'
import type { CallerInfo } from '../caller.js'
import type { ServiceError } from '../errors.js'
import type { Log } from '../log.js'
import {
  classifyEnd,
  type InboundHttp,
  type McpObserver,
  type ObservedRequest,
  type RequestEnd
} from '../mcp/observer.js'
import type { BrokerObserver } from '../oauth/login-events.js'
import { packageVersion } from '../version.js'
import { RecordedArguments, type AuditedArgument } from './arguments.js'
import { LineHash } from './chain.js'
import { categorize, writeEvent, type AuditAction, type EventFacts } from './event.js'
import { toMembers, writeCall, writeCaller, writeHttp } from './facts.js'
import { describeStep } from './steps.js'
import { Refusals } from './refusals.js'
import { toSink, type AuditTarget } from './sinks/sink.js'
import { Trail, type AuditOutcome } from './trail.js'

/**
 * Writes down who did what: one event for each login, refusal, grant, refresh, revocation, registration and call. Pass
 * it as `audit` of `mcpService`.
 * @example
 * ```ts
 * import { auditToFile, type AuditOptions } from 'fastify-mcp-oauth'
 *
 * export const audit: AuditOptions = {
 *   sink: auditToFile('/var/log/mcp/audit.jsonl', { fsync: true }),
 *   required: true,
 *   arguments: [{ tool: 'search', argument: 'query', as: 'hash' }]
 * }
 * ```
 */
export interface AuditOptions {
  /** Where events go: `auditToFile`, `auditToStdout`, a sink of your own, or a function that gets each event. */
  sink: AuditTarget
  /**
   * Whether calls, logins and tokens are refused (503) while events cannot be written. A call is then written down
   * before it runs. Default: false; what cannot be written is lost and counted.
   */
  required?: boolean
  /** Arguments of tools and prompts that are recorded. Default: none. */
  arguments?: readonly AuditedArgument[]
  /** Bytes of events that may wait to be written. Default: 16 MiB. */
  maxQueuedBytes?: number
  /** Called with what became of how many events, for metrics. */
  onEvents?: (outcome: AuditOutcome, count: number) => void
}

interface AuditorOptions extends AuditOptions {
  /** Hashes of lines are made with it; undefined: without a key. */
  chainKey: Uint8Array | undefined
  argumentsKey: Uint8Array
  log: Log
}

export const MAX_QUEUED_BYTES = 16 * 1024 * 1024
const NS_OF_MS = 1e6
const NODE_NAME = `${hostname()}/${randomBytes(4).toString('hex')}`

const CALL = categorize('api', 'access')
const DENIED = categorize('api', 'denied')
const ABOUT_ITSELF = categorize('configuration', 'info')

/** Turns what happens into events of the record. */
export class Auditor {
  /** Whether nothing may happen that is not written down. */
  readonly isRequired: boolean
  readonly brokerObserver: BrokerObserver
  readonly mcpObserver: McpObserver
  readonly #trail: Trail
  readonly #arguments: RecordedArguments
  /** What all events end with. */
  readonly #end = toMembers({
    service: { name: 'fastify-mcp-oauth', version: packageVersion(), node: { name: NODE_NAME } }
  }) + '}'

  /** Errors that a step of a login has reported already. */
  readonly #told = new WeakSet<object>()
  readonly #refusals: Refusals

  constructor ({ sink, required = false, log, chainKey, argumentsKey, ...options }: AuditorOptions) {
    this.isRequired = required
    this.#arguments = new RecordedArguments(options.arguments ?? [], argumentsKey)
    this.#trail = new Trail({
      sink: toSink(sink),
      hash: new LineHash(chainKey),
      isRequired: required,
      maxQueuedBytes: options.maxQueuedBytes ?? MAX_QUEUED_BYTES,
      resumed: action => this.#toText(ABOUT_ITSELF, { action, outcome: 'success' }),
      log,
      onEvents: options.onEvents ?? (() => {})
    })
    this.#refusals = new Refusals(reason => {
      this.#record(DENIED, { action: 'refusals-left-out', outcome: 'failure', reason })
    })
    this.brokerObserver = event => {
      if (event.error instanceof Error) this.#told.add(event.error)
      for (const { categories, event: about, facts } of describeStep(event)) this.#record(categories, about, facts)
    }
    this.mcpObserver = {
      request: (observed, run) => {
        const begun = performance.now()
        run()
        return (end, text) => { this.#called(observed, end, text, begun) }
      },
      denied: ({ error, http, caller, ...refused }) => {
        this.#told.add(error)
        this.#refuse('call-refused', error, writeCaller(caller) + writeHttp(http) + writeCall(refused))
      }
    }
  }

  /** An HTTP request was refused, unless the step of a login has said so already. */
  refused (http: InboundHttp, error: ServiceError, caller: CallerInfo | null, request?: JSONRPCRequest): void {
    if (this.#told.has(error)) return
    this.#told.add(error)
    if (caller === null && !this.#refusals.take()) return
    const facts = writeCaller(caller) + writeHttp(http, { status: error.statusCode })
    this.#refuse(request === undefined ? 'request-refused' : 'call-refused', error, facts + writeTarget(http, request))
  }

  /**
   * Writes down that calls begin, before they do; without calls, that an HTTP request does.
   * @throws {TemporarilyUnavailableError} (rejects) if it cannot be written
   */
  async begin (http: InboundHttp, caller: CallerInfo | null, requests: readonly JSONRPCRequest[]): Promise<void> {
    const facts = writeCaller(caller) + writeHttp(http)
    const begun = { outcome: 'unknown' as const }
    if (requests.length === 0) {
      const text = this.#toText(CALL, { ...begun, action: 'request-begun' }, facts + writeTarget(http))
      await this.#trail.keep(text)
      return
    }
    await Promise.all(requests.map(async request => {
      const text = this.#toText(CALL, { ...begun, action: 'call-begun' }, facts + writeTarget(http, request))
      await this.#trail.keep(text)
    }))
  }

  /** Rejects if events cannot be written. */
  async check (): Promise<void> {
    await this.#trail.check()
  }

  async close (): Promise<void> {
    this.#refusals.close()
    await this.#trail.close()
  }

  #called (observed: ObservedRequest, end: RequestEnd, text: string | undefined, begun: number): void {
    const { caller, http, request } = observed
    const reason = classifyEnd(end)
    const recorded = this.#arguments.of(request)
    const bytes = text === undefined ? undefined : Buffer.byteLength(text)
    const isError = typeof end === 'object' && 'error' in end
    this.#record(CALL, {
      action: 'call',
      outcome: reason === 'ok' ? 'success' : 'failure',
      reason,
      duration: Math.round((performance.now() - begun) * NS_OF_MS)
    }, writeCaller(caller) + writeHttp(http, { bytes }) + (isError ? writeError(String(end.error.code)) : '') +
      writeCall(observed, recorded))
  }

  #refuse (action: AuditAction, error: ServiceError, facts: string): void {
    const { code, reason = code } = error
    this.#record(DENIED, { action, outcome: 'failure', reason }, facts + writeError(code))
  }

  #record (categories: string, event: EventFacts, facts = ''): void {
    this.#trail.record(this.#toText(categories, event, facts))
  }

  #toText (categories: string, event: EventFacts, facts = ''): string {
    return writeEvent(categories, event) + facts + this.#end
  }
}

/** Which server a request is to, of several, and what it asks for, if that was read. */
function writeTarget ({ mcpServer: server }: InboundHttp, request?: JSONRPCRequest): string {
  if (server === undefined && request === undefined) return ''
  return writeCall({ ...request && { request }, ...server !== undefined && { server } })
}

function writeError (code: string): string {
  return toMembers({ error: { code } })
}
