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
  type RequestEnd,
  type RequestOutcome
} from '../mcp/observer.js'
import type { BrokerObserver } from '../oauth/login-events.js'
import { packageVersion } from '../version.js'
import { RecordedArguments, type AuditedArgument } from './arguments.js'
import { toCallFacts, writeCall } from './call-facts.js'
import { LineHash } from './chain.js'
import { categorize, writeAbout, writeEvent, type AuditAction, type EventFacts } from './event.js'
import { toHttpFacts, toMembers, writeCaller, writeHttp } from './facts.js'
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

/** An HTTP request, and what is known of it before a server has what is in it. */
export interface InboundRequest {
  http: InboundHttp
  /** Undefined: nobody has vouched for it. */
  caller: CallerInfo | undefined
  /** What its requests have in common. */
  about: Pick<ObservedRequest, 'server' | 'era' | 'protocolVersion' | 'sessionId'>
  /** The requests in its body: none if that was not read. */
  requests: readonly JSONRPCRequest[]
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
const aboutCall = (reason: RequestOutcome) =>
  writeAbout(CALL, { action: 'call', outcome: reason === 'ok' ? 'success' : 'failure', reason })
const CALLS: Readonly<Record<RequestOutcome, string>> = {
  ok: aboutCall('ok'),
  tool_error: aboutCall('tool_error'),
  error: aboutCall('error'),
  cancelled: aboutCall('cancelled'),
  closed: aboutCall('closed')
}
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
  })

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
      ended: (observed, end, ms, text) => { this.#called(observed, end, ms, text) },
      denied: ({ error, http, caller, ...refused }) => {
        this.#told.add(error)
        this.#refuse('call-refused', error, writeCaller(caller) + writeHttp(http) + writeCall(toCallFacts(refused)))
      }
    }
  }

  /** An HTTP request, with all that is in it, was refused, unless the step of a login has said so already. */
  refused (inbound: InboundRequest, error: ServiceError): void {
    if (this.#told.has(error)) return
    this.#told.add(error)
    if (inbound.caller === undefined && !this.#refusals.take()) return
    for (const facts of writeInbound(inbound, error.statusCode)) {
      this.#refuse(inbound.requests.length === 0 ? 'request-refused' : 'call-refused', error, facts)
    }
  }

  /**
   * Writes down that calls begin, before they do; without calls, that an HTTP request does.
   * @throws {TemporarilyUnavailableError} (rejects) if it cannot be written
   */
  async begin (inbound: InboundRequest): Promise<void> {
    const action = inbound.requests.length === 0 ? 'request-begun' : 'call-begun'
    await Promise.all(writeInbound(inbound).map(async facts => {
      await this.#trail.keep(this.#toText(CALL, { action, outcome: 'unknown' }, facts))
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

  #called (observed: ObservedRequest, end: RequestEnd, ms: number, text: string | undefined): void {
    const { caller } = observed
    const call = toCallFacts(observed, this.#arguments.of(observed.request))
    const http = observed.http && toHttpFacts(observed.http)
    const bytes = text === undefined ? undefined : Buffer.byteLength(text)
    const error = typeof end === 'object' && 'error' in end ? end.error.code : undefined
    const reason = classifyEnd(end)
    const duration = Math.round(ms * NS_OF_MS)
    const at = Date.now()
    // what is kept until then is small: neither what the client sent nor the response
    this.#trail.record(() =>
      writeEvent(CALLS[reason], at, duration) + writeCaller(caller) + writeHttp(http, { bytes }) +
        (error === undefined ? '' : writeError(String(error))) + writeCall(call) + this.#end
    )
  }

  #refuse (action: AuditAction, error: ServiceError, facts: string): void {
    const { code, reason = code } = error
    this.#record(DENIED, { action, outcome: 'failure', reason }, facts + writeError(code))
  }

  #record (categories: string, event: EventFacts, facts = ''): void {
    const text = this.#toText(categories, event, facts)
    this.#trail.record(() => text)
  }

  #toText (categories: string, event: EventFacts, facts = ''): string {
    return writeEvent(writeAbout(categories, event), Date.now()) + facts + this.#end
  }
}

/** The facts of each request in an HTTP request; if there is none, of that itself. @param status of its response */
function writeInbound ({ http, caller, about, requests }: InboundRequest, status?: number): string[] {
  const facts = writeCaller(caller) + writeHttp(http, status === undefined ? {} : { status })
  if (requests.length > 0) return requests.map(request => facts + writeCall(toCallFacts({ ...about, request })))
  return [Object.keys(about).length === 0 ? facts : facts + writeCall(toCallFacts(about))]
}

function writeError (code: string): string {
  return toMembers({ error: { code } })
}
