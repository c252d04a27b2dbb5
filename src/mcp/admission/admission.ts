import type { JSONRPCRequest } from '@modelcontextprotocol/server'
import { limitKey, type CallerInfo } from '../../caller.js'
import { LimitError, TooManyRequestsError, type LimitName } from '../../errors.js'
import type { SessionLimits } from '../limits.js'
import { AllPlaces } from './all-places.js'
import { CallLimiter, type CallLimiterOptions } from './call-limiter.js'
import type { CallPlaces } from './call-places.js'
import type { Holder } from './places.js'
import { Lease, Quota } from './quota.js'
import { RequestLease } from './request-lease.js'
import { SubscriptionLease } from './subscription-lease.js'
import { ToolRates } from './tool-rates.js'

export interface AdmissionOptions {
  /** Largest body of a request. Default: 4 MiB. */
  maxBodyBytes?: number
  /** Called for each refusal. */
  onRefused?: ((limit: LimitName) => void) | undefined
  /** The policy whose limits of calls hold, and the store that counts. Default: calls are not limited. */
  calls?: Pick<CallLimiterOptions, 'policy' | 'store' | 'leaseMs'> | undefined
  /** The time in milliseconds. Default: the process's monotonic clock. */
  now?: () => number
}

export type AdmittedThing =
  | 'requests'
  | 'instances'
  | 'streams'
  | 'subscriptions'
  | 'subscriptionBytes'
  | 'responses'
  | 'requestBytes'
  | 'handOvers'
  | 'handOverBytes'
  | 'persons'

const MAX_BODY_BYTES = 4_194_304
// with those of the headers that a request may have
const MAX_HEADER_BYTES = 65_536

/**
 * Bounds what each person, and all of them together, hold of this process, in all eras, modes, clients and sessions.
 * A request that it refuses has not run.
 */
export class Admission {
  readonly #limits: SessionLimits
  readonly #requests: Quota
  readonly #instances: AllPlaces
  readonly #streams: AllPlaces
  readonly #subscriptions: Quota
  readonly #subscriptionBytes: Quota
  readonly #responses: Quota
  readonly #requestBytes: Quota
  readonly #handOvers: Quota
  readonly #handOverBytes: Quota
  readonly #tools: ToolRates
  readonly #calls: CallLimiter | undefined
  readonly #onRefused: (limit: LimitName) => void

  constructor (
    limits: SessionLimits,
    { maxBodyBytes = MAX_BODY_BYTES, onRefused = () => {}, calls, now }: AdmissionOptions = {}
  ) {
    this.#limits = limits
    this.#onRefused = onRefused
    this.#requests = new Quota({
      limit: 'requests_in_flight',
      things: 'requests in flight',
      perPerson: limits.maxRequestsInFlightPerPerson,
      inAll: limits.maxRequestsInFlight
    })
    this.#instances = new AllPlaces({
      limit: 'instances',
      things: 'server instances',
      perPerson: limits.maxInstancesPerPerson,
      inAll: limits.maxLiveInstances
    })
    this.#streams = new AllPlaces({
      limit: 'streams',
      things: 'open streams',
      perPerson: limits.maxStreamsPerPerson,
      inAll: limits.maxStreams
    })
    this.#subscriptions = new Quota({
      limit: 'subscriptions',
      things: 'subscriptions',
      perPerson: limits.maxSubscriptionsPerPerson,
      inAll: limits.maxSubscriptions
    })
    this.#subscriptionBytes = new Quota({
      limit: 'subscription_bytes',
      things: 'bytes of subscribed URIs',
      perPerson: limits.maxSubscriptionBytesPerPerson,
      inAll: limits.maxSubscriptionBytes,
      isWeight: true
    })
    this.#responses = new Quota({
      limit: 'open_responses',
      things: 'open requests',
      perPerson: limits.maxOpenResponsesPerPerson,
      inAll: limits.maxOpenResponses
    })
    this.#requestBytes = new Quota({
      limit: 'request_bytes',
      things: 'bytes of requests',
      perPerson: limits.maxRequestBytesPerPerson,
      inAll: limits.maxRequestBytes,
      isWeight: true
    })
    ;[this.#handOvers, this.#handOverBytes] = makeHandOverQuotas(limits, maxBodyBytes)
    this.#tools = new ToolRates(limits.toolCallsPerMinute, now)
    this.#calls = calls && new CallLimiter({ ...calls, onRefused })
  }

  /** How much is held now, by everybody together. All are 0 once nothing runs. */
  get held (): Record<AdmittedThing, number> {
    return {
      requests: this.#requests.total,
      instances: this.#instances.size,
      streams: this.#streams.size,
      subscriptions: this.#subscriptions.total,
      subscriptionBytes: this.#subscriptionBytes.total,
      responses: this.#responses.total,
      requestBytes: this.#requestBytes.total,
      handOvers: this.#handOvers.total,
      handOverBytes: this.#handOverBytes.total,
      persons: this.#requests.persons + this.#instances.persons + this.#streams.persons + this.#subscriptions.persons +
        this.#responses.persons + this.#handOvers.persons
    }
  }

  /**
   * Admits the requests of one POST, all or none.
   * @returns a lease of one for each, to be ended as they end
   * @throws {TooManyRequestsError} @throws {ServerFullError}
   */
  takeRequests (person: string, requests: readonly JSONRPCRequest[]): RequestLease {
    return this.#counted(() => {
      this.#requests.check(person, requests.length)
      this.#tools.take(
        limitKey(person),
        requests.flatMap(({ method, params }) =>
          method === 'tools/call' && typeof params?.name === 'string' ? [params.name] : []
        )
      )
      return new RequestLease(new Lease(this.#requests, person).set(requests.length))
    })
  }

  /**
   * Holds the requests of one POST to the policy's limits, all or none: the last step before they run.
   * @param isContinued whether they continue a call that was counted
   * @returns the places of those that run, to be released; undefined if there are no such limits
   * @throws {TooManyRequestsError} @throws {TemporarilyUnavailableError} or rejects with it
   */
  takeCalls (
    caller: CallerInfo,
    requests: readonly JSONRPCRequest[],
    isContinued = false
  ): CallPlaces | undefined | Promise<CallPlaces | undefined> {
    return this.#calls?.take(caller, requests, isContinued)
  }

  /** Lets go of timers. */
  close (): void {
    this.#calls?.close()
  }

  /** Takes a place for a server instance. @throws {TooManyRequestsError} @throws {ServerFullError} */
  takeInstance (holder: Holder): void {
    this.#counted(() => { this.#instances.take(holder) })
  }

  /** The same for an instance that exists already, and cannot be refused. */
  addInstance (holder: Holder): void {
    this.#instances.add(holder)
  }

  usedInstance (holder: Holder): void {
    this.#instances.used(holder)
  }

  freeInstance (holder: Holder): void {
    this.#instances.free(holder)
  }

  /** Takes a place for a stream that a client asks for. @throws {TooManyRequestsError} @throws {ServerFullError} */
  takeStream (holder: Holder): void {
    this.#counted(() => { this.#streams.take(holder) })
  }

  freeStream (holder: Holder): void {
    this.#streams.free(holder)
  }

  /**
   * Admits an HTTP request, until its response is over.
   * @returns leases of one response, and of the bytes of the body
   * @throws {TooManyRequestsError} @throws {ServerFullError} and takes nothing
   */
  takeResponse (person: string, bodyBytes: number): [responses: Lease, bytes: Lease] {
    return this.#counted(() => {
      this.#responses.check(person, 1)
      const bytes = new Lease(this.#requestBytes, person).grow(bodyBytes)
      return [new Lease(this.#responses, person).set(1), bytes]
    })
  }

  /**
   * Admits a message that is handed to another replica, until that has responded.
   * @returns leases of one message, and of its bytes
   * @throws {TooManyRequestsError} @throws {ServerFullError} and takes nothing
   */
  takeHandOver (person: string, messageBytes: number): [messages: Lease, bytes: Lease] {
    return this.#counted(() => {
      this.#handOvers.check(person, 1)
      const bytes = new Lease(this.#handOverBytes, person).grow(messageBytes)
      return [new Lease(this.#handOvers, person).set(1), bytes]
    })
  }

  /** A lease for what a session, a stream or a request of a person subscribes to; empty at first. */
  makeSubscriptionLease (person: string): SubscriptionLease {
    return new SubscriptionLease(
      new Lease(this.#subscriptions, person),
      new Lease(this.#subscriptionBytes, person),
      uris => {
        this.#checkUris(uris)
      }
    )
  }

  /** Subscribes to more. @throws {TooManyRequestsError} @throws {ServerFullError} and takes nothing */
  subscribe (person: string, uris: readonly string[]): SubscriptionLease {
    return this.#counted(() => this.makeSubscriptionLease(person).add(uris))
  }

  #checkUris (uris: readonly string[]): void {
    const { maxUriBytes } = this.#limits
    for (const uri of uris) {
      if (Buffer.byteLength(uri) > maxUriBytes) {
        throw new TooManyRequestsError(`The URI is longer than ${maxUriBytes} bytes.`, { limit: 'uri_bytes' })
      }
    }
  }

  #counted<T> (take: () => T): T {
    try {
      return take()
    } catch (error) {
      if (error instanceof LimitError) this.#onRefused(error.limit)
      throw error
    }
  }
}

/** Of messages on their way to another replica: their number, and their bytes. */
function makeHandOverQuotas (limits: SessionLimits, maxBodyBytes: number): [messages: Quota, bytes: Quota] {
  const largest = maxBodyBytes + MAX_HEADER_BYTES
  return [
    new Quota({
      limit: 'requests_in_flight',
      things: 'messages on their way to another replica',
      perPerson: limits.maxRequestsInFlightPerPerson,
      inAll: limits.maxRequestsInFlight
    }),
    new Quota({
      limit: 'request_bytes',
      things: 'bytes of messages on their way to another replica',
      perPerson: largest,
      // with what sealing adds, they fit into a replica's channel of the bus
      inAll: 2 * largest,
      isWeight: true
    })
  ]
}
