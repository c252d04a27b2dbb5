import { createHash } from 'node:crypto'
import type { JSONRPCRequest, RequestId } from '@modelcontextprotocol/server'
import type { CallerInfo } from '../../caller.js'
import { InvalidMessageError } from '../../errors.js'
import type { SessionChange, SessionRecord } from '../../stores/sessions.js'
import type { Refusals } from '../access/guard.js'
import type { Admission } from '../admission/admission.js'
import type { RequestLease } from '../admission/request-lease.js'
import type { SubscriptionLease } from '../admission/subscription-lease.js'
import type { MessageExtra } from '../transport/message-extra.js'
import type { PostExchange } from '../transport/post-exchange.js'
import type { PostResponse } from '../transport/post-response.js'
import type { PostedMessages } from '../wire/messages.js'

type MaybeRefusals = Refusals | undefined

const MAX_KEY = 100
const MAX_SILENCED = 64

/** A short name of a client's request id: the id itself, or of a long one its hash. */
export function requestKey (id: RequestId): string {
  const key = JSON.stringify(id)
  return key.length <= MAX_KEY ? key : createHash('sha256').update(key).digest('base64url')
}

/** The requests of one POST, which may run. */
export interface AdmittedRequests {
  requests: readonly JSONRPCRequest[]
  lease: RequestLease
  subscriptions: ReadonlyMap<RequestId, SubscriptionLease>
}

/** The messages of one POST, after its checks. */
export interface CheckedPost {
  posted: PostedMessages
  admitted: AdmittedRequests
  extra: MessageExtra
  caller: CallerInfo
  /** Absent: the responses go to the one stream of the session (HTTP+SSE). */
  response: PostResponse | undefined
  /** What does not get to the server. */
  refusals: Refusals | undefined
}

/** A request that runs in a session. */
export interface RunningRequest {
  /** Of the request; absent for tokens that we did not issue. */
  grantId: string | undefined
  /** Takes its response; undefined if that belongs on the session's stream (HTTP+SSE). */
  exchange: PostExchange | undefined
  /** What changes in the session's record once it has succeeded. */
  change: SessionChange | undefined
  /** The lease of its POST. */
  lease: RequestLease
  subscription: SubscriptionLease | undefined
}

/** The requests that run at one server instance of a session. Each releases its person's quotas as it ends. */
export class RunningRequests {
  readonly #admission: Admission
  readonly #person: string
  readonly #running = new Map<RequestId, RunningRequest>()
  readonly #silenced = new Set<RequestId>()

  constructor (admission: Admission, person: string) {
    this.#admission = admission
    this.#person = person
  }

  get size (): number {
    return this.#running.size
  }

  has (id: RequestId): boolean {
    return this.#running.has(id)
  }

  get (id: RequestId): RunningRequest | undefined {
    return this.#running.get(id)
  }

  /** @throws {InvalidMessageError} for a second `initialize`, or a request whose id is that of one that runs */
  assertMayRun (requests: readonly JSONRPCRequest[], { initializeParams, kind }: SessionRecord): void {
    for (const { method, id } of requests) {
      if (method === 'initialize' && (initializeParams !== undefined || kind !== 'sse')) {
        throw new InvalidMessageError('Invalid Request: the session is already initialized.')
      }
      if (this.has(id)) throw new InvalidMessageError('Invalid Request: a request with this id is still running.')
    }
  }

  /** The id of the running request with a key. */
  findByKey (key: string): RequestId | undefined {
    for (const id of this.#running.keys()) if (requestKey(id) === key) return id
    return undefined
  }

  entries (): Array<[RequestId, RunningRequest]> {
    return [...this.#running]
  }

  /** Those that were made under a grant. */
  ofGrant (grantId: string): Array<[RequestId, RunningRequest]> {
    return this.entries().filter(([, request]) => request.grantId === grantId)
  }

  /**
   * Admits the requests of one POST, all or none.
   * @param subscribed URIs that the session has already subscribed to
   * @param checks those that will be refused, or a promise of it
   * @returns the requests, and the same; a promise, which rejects with what this throws, if something must be awaited
   * before they run
   * @throws {TooManyRequestsError} @throws {ServerFullError} @throws {TemporarilyUnavailableError}
   */
  admit (
    requests: readonly JSONRPCRequest[],
    subscribed: readonly string[],
    caller: CallerInfo,
    checks: MaybeRefusals | Promise<MaybeRefusals>
  ): [admitted: AdmittedRequests, refusals: MaybeRefusals | Promise<MaybeRefusals>] {
    let admitted: AdmittedRequests | undefined
    try {
      const { lease } = admitted = this.#admit(requests, subscribed)
      const takeCalls = (refusals: MaybeRefusals) => {
        const running = refusals === undefined ? requests : requests.filter(({ id }) => !refusals.has(id))
        const pending = lease.hold(this.#admission.takeCalls(caller, running))
        return pending === undefined ? refusals : pending.then(() => refusals)
      }
      return [admitted, checks instanceof Promise ? checks.then(takeCalls) : takeCalls(checks)]
    } catch (error) {
      // refused: nothing awaits it
      if (checks instanceof Promise) checks.catch(() => {})
      if (admitted !== undefined) this.release(admitted)
      throw error
    }
  }

  #admit (requests: readonly JSONRPCRequest[], subscribed: readonly string[]): AdmittedRequests {
    const subscriptions = new Map<RequestId, SubscriptionLease>()
    try {
      for (const { id, method, params } of requests) {
        if (method !== 'resources/subscribe' || typeof params?.uri !== 'string' || subscribed.includes(params.uri)) {
          continue
        }
        subscriptions.set(id, this.#admission.subscribe(this.#person, [params.uri]))
      }
      return { requests, subscriptions, lease: this.#admission.takeRequests(this.#person, requests) }
    } catch (error) {
      for (const subscription of subscriptions.values()) subscription.release()
      throw error
    }
  }

  /** The requests will not run. */
  release ({ lease, subscriptions }: AdmittedRequests): void {
    lease.release()
    for (const subscription of subscriptions.values()) subscription.release()
  }

  /** The requests run from now on. */
  add (
    { requests, lease, subscriptions }: AdmittedRequests,
    grantId: string | undefined,
    exchange: PostExchange | undefined
  ): void {
    for (const request of requests) {
      this.#silenced.delete(request.id)
      this.#running.set(request.id, {
        grantId,
        exchange,
        change: findChange(request),
        lease,
        subscription: subscriptions.get(request.id)
      })
    }
  }

  /** What is still sent for these requests is not delivered: nobody reads it. @returns the same requests */
  silence (ids: readonly RequestId[]): readonly RequestId[] {
    if (this.#silenced.size >= MAX_SILENCED) this.#silenced.clear()
    for (const id of ids) this.#silenced.add(id)
    return ids
  }

  isSilenced (id: RequestId | undefined): boolean {
    return id !== undefined && this.#silenced.has(id)
  }

  /** A request has ended. @returns the request; undefined if it does not run */
  end (id: RequestId): RunningRequest | undefined {
    const request = this.#running.get(id)
    if (request === undefined) return undefined
    this.#running.delete(id)
    request.lease.end(id)
    request.subscription?.release()
    return request
  }
}

/** What a request changes in the session's record if it succeeds. */
function findChange ({ method, params = {} }: JSONRPCRequest): SessionChange | undefined {
  if (method === 'initialize') return { initializeParams: params, protocolVersion: '' }
  if (method === 'logging/setLevel' && typeof params.level === 'string') return { logLevel: params.level }
  if (method === 'resources/subscribe' && typeof params.uri === 'string') return { subscribe: params.uri }
  if (method === 'resources/unsubscribe' && typeof params.uri === 'string') return { unsubscribe: params.uri }
  return undefined
}
