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
import { ECS, type AuditAction, type UnchainedEvent } from './event.js'
import { describeCall, describeCaller, describeHttp } from './facts.js'
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
const NODE_NAME = `${hostname()}/${randomBytes(4).toString('hex')}`

const CALL = { category: ['api'], type: ['access'] } satisfies Partial<UnchainedEvent['event']>
const DENIED = { category: ['api'], type: ['denied'] } satisfies Partial<UnchainedEvent['event']>
const ABOUT_ITSELF = { category: ['configuration'], type: ['info'] } satisfies Partial<UnchainedEvent['event']>

type Categories = Pick<UnchainedEvent['event'], 'category' | 'type'>

/** Turns what happens into events of the record. */
export class Auditor {
  /** Whether nothing may happen that is not written down. */
  readonly isRequired: boolean
  readonly brokerObserver: BrokerObserver
  readonly mcpObserver: McpObserver
  readonly #trail: Trail
  readonly #arguments: RecordedArguments
  /** What all events end with. */
  readonly #service = { name: 'fastify-mcp-oauth' as const, version: packageVersion(), node: { name: NODE_NAME } }
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
      resumed: action => this.#toText(ABOUT_ITSELF, { action, outcome: 'success' }, {}),
      log,
      onEvents: options.onEvents ?? (() => {})
    })
    this.#refusals = new Refusals(reason => {
      this.#record(DENIED, { action: 'refusals-left-out', outcome: 'failure', reason }, {})
    })
    this.brokerObserver = event => {
      if (event.error instanceof Error) this.#told.add(event.error)
      for (const { categories, event: about, facts } of describeStep(event)) this.#record(categories, about, facts)
    }
    this.mcpObserver = {
      request: (observed, run) => {
        const begun = process.hrtime.bigint()
        run()
        return (end, text) => { this.#called(observed, end, text, begun) }
      },
      denied: ({ error, http, caller, ...refused }) => {
        this.#told.add(error)
        this.#refuse('call-refused', error, {
          ...caller && describeCaller(caller),
          ...describeHttp(http),
          ...describeCall(refused)
        })
      }
    }
  }

  /** An HTTP request was refused, unless the step of a login has said so already. */
  refused (http: InboundHttp, error: ServiceError, caller: CallerInfo | null, request?: JSONRPCRequest): void {
    if (this.#told.has(error)) return
    this.#told.add(error)
    if (caller === null && !this.#refusals.take()) return
    const { http: about, ...facts } = describeHttp(http)
    this.#refuse(request === undefined ? 'request-refused' : 'call-refused', error, {
      ...caller !== null && describeCaller(caller),
      ...facts,
      http: { ...about, response: { status_code: error.statusCode } },
      ...request !== undefined && describeCall({ request })
    })
  }

  /**
   * Writes down that calls begin, before they do; without calls, that an HTTP request does.
   * @throws {TemporarilyUnavailableError} (rejects) if it cannot be written
   */
  async begin (http: InboundHttp, caller: CallerInfo | null, requests: readonly JSONRPCRequest[]): Promise<void> {
    const facts = { ...caller && describeCaller(caller), ...describeHttp(http) }
    const begun = { outcome: 'unknown' as const }
    if (requests.length === 0) {
      await this.#trail.keep(this.#toText(CALL, { ...begun, action: 'request-begun' }, facts))
      return
    }
    await Promise.all(requests.map(async request => {
      const text = this.#toText(CALL, { ...begun, action: 'call-begun' }, { ...facts, ...describeCall({ request }) })
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

  #called (observed: ObservedRequest, end: RequestEnd, text: string | undefined, begun: bigint): void {
    const { caller, http, request } = observed
    const reason = classifyEnd(end)
    const recorded = this.#arguments.of(request)
    const { mcp, ...target } = describeCall(observed)
    this.#record(CALL, {
      action: 'call',
      outcome: reason === 'ok' ? 'success' : 'failure',
      reason,
      duration: Number(process.hrtime.bigint() - begun)
    }, {
      ...caller !== undefined && describeCaller(caller),
      ...describeHttp(http, text === undefined ? undefined : Buffer.byteLength(text)),
      ...typeof end === 'object' && 'error' in end && { error: { code: String(end.error.code) } },
      mcp: { ...mcp, ...recorded !== undefined && { arguments: recorded } },
      ...target
    })
  }

  #refuse (action: AuditAction, error: ServiceError, facts: Partial<UnchainedEvent>): void {
    const { code, reason = code } = error
    this.#record(DENIED, { action, outcome: 'failure', reason }, { ...facts, error: { code } })
  }

  #record (
    categories: Categories,
    event: Pick<UnchainedEvent['event'], 'action' | 'outcome' | 'reason' | 'duration'>,
    facts: Partial<UnchainedEvent>
  ): void {
    this.#trail.record(this.#toText(categories, event, facts))
  }

  #toText (
    categories: Categories,
    event: Pick<UnchainedEvent['event'], 'action' | 'outcome' | 'reason' | 'duration'>,
    facts: Partial<UnchainedEvent>
  ): string {
    return JSON.stringify({
      '@timestamp': new Date().toISOString(),
      ecs: ECS,
      event: { kind: 'event', dataset: 'fastify-mcp-oauth.audit', ...categories, ...event },
      ...facts,
      service: this.#service
    })
  }
}
