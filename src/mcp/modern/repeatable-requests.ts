import { randomUUID } from 'node:crypto'
import { ownerKey, toOwner } from '../../caller.js'
import { jsonRpcCodes } from '../../json-rpc-codes.js'
import type { Log } from '../../log.js'
import { isObject } from '../../members.js'
import { parseRecord } from '../../parse-record.js'
import type { Bus, BusMessages } from '../../stores/bus.js'
import { firstEventId, type EventLog } from '../../stores/event-log.js'
import { leaseNames, type LeaseStore } from '../../stores/leases.js'
import type { Admission } from '../admission/admission.js'
import type { SessionLimits } from '../limits.js'
import type { Replica } from '../replica.js'
import { errorText } from '../wire/messages.js'
import { ASKING_METHODS } from './asking-methods.js'
import type { OpenRequest } from './bridge/bridged-call.js'
import { fingerprint } from '../../fingerprint.js'
import { Rounds, type Round } from './bridge/rounds.js'
import type { CallClaim } from './bridge/suspended-calls.js'
import type { ModernCall } from './modern-call.js'

export interface RepeatableRequestsOptions {
  admission: Admission
  suspendedCalls: Pick<SessionLimits, 'repeatedInputMs'>
  replica: Replica
  eventLog: EventLog
  bus: Bus
  leases: LeaseStore
  log: Log
}

/** The response to a request. */
export interface KeptResponse {
  status: number
  headers: Array<[name: string, value: string]>
  text: string
}

/** What the replica that has a request writes for the one that it was repeated at. */
type RepeatedEvent =
  | { kind: 'taken' }
  | { kind: 'response', response: KeptResponse }
  /** The client has its response: the other request is one of its own. */
  | { kind: 'delivered' }

/** A request that runs, or whose response is kept. */
interface Running {
  key: string
  round: Round<KeptResponse>
  /** Whether its client had gone before it had the response. */
  wasCut: Promise<boolean>
  ended: (wasCut: boolean) => void
}

const STREAM = 'response'
const RUN_MS = 15_000
const RENEW_MS = 4000
// as for a call that is handed over
const TAKEN_MS = 5000
const UNREACHABLE = 'The process that this request runs in cannot be reached now. Send the same request again in a ' +
  'moment: what has run is not run again.'

/**
 * Requests with input for a server of SDK 2.x, which runs each of them as a request of its own. If the connection is
 * cut, the client does not know whether the request has run, and sends it again: to any replica, for some seconds, it
 * is the same request. One that is equal to another whose client has its response is a request of its own.
 */
export class RepeatableRequests {
  readonly #options: RepeatableRequestsOptions
  readonly #rounds: Rounds<KeptResponse>
  /** By the request that began it. */
  readonly #byCall = new WeakMap<ModernCall, Running>()
  readonly #byRound = new WeakMap<Round<KeptResponse>, Running>()
  readonly #unsubscribe: Array<() => void>

  constructor (options: RepeatableRequestsOptions) {
    const { admission, bus, suspendedCalls: { repeatedInputMs } } = options
    this.#options = options
    this.#rounds = new Rounds(repeatedInputMs, admission)
    this.#unsubscribe = [
      bus.subscribe('requestRepeated', message => { this.#answer(message) }),
      bus.subscribe('grantEnded', ({ grantId }) => { this.#rounds.endGrant(grantId) })
    ]
  }

  /** Whether requests run whose client may come back. */
  get running (): boolean {
    return this.#rounds.running
  }

  /** Whether a call brings input, and names what for; another request has no use for it. */
  static includes ({ message }: ModernCall): boolean {
    if (message === undefined || !ASKING_METHODS.has(message.method)) return false
    const { requestState, inputResponses } = message.params ?? {}
    return typeof requestState === 'string' && isObject(inputResponses) && Object.keys(inputResponses).length > 0
  }

  /** Serves a call: by `run`, or by the response to the one that it repeats. */
  serve (call: ModernCall, run: (open: OpenRequest) => Promise<KeptResponse>): void {
    this.#respond(call, run).then(({ status, headers, text }) => {
      const body = text === '' ? null : withId(text, call.message?.id)
      call.follow(Promise.resolve(new Response(body, { status, headers })))
    }).catch((error: unknown) => { call.fail(error) })
  }

  /** Cancels what runs. */
  close (): void {
    for (const unsubscribe of this.#unsubscribe) unsubscribe()
    this.#rounds.close()
  }

  async #respond (call: ModernCall, run: (open: OpenRequest) => Promise<KeptResponse>): Promise<KeptResponse> {
    const claim = toClaim(call)
    const open: OpenRequest = {
      signal: call.request.signal,
      mayReturn: () => call.hasLeft,
      notify: notification => call.notify(notification),
      progressToken: undefined
    }
    for (;;) {
      const earlier = this.#find(claim.callId)
      if (earlier !== undefined) {
        call.runs()
        if (await earlier.wasCut) return await earlier.round.join(open)
      } else if (!await this.#take(claim.callId)) {
        const found = await this.#ask(claim.callId, call)
        if (found !== 'delivered') return found
      } else if (this.#find(claim.callId) === undefined) {
        return await this.#begin(claim, call, run).join(open)
      }
    }
  }

  /** The connection of a request has ended. */
  ended (call: ModernCall, isDelivered: boolean): void {
    const running = this.#byCall.get(call)
    if (running === undefined) return
    if (isDelivered) this.#rounds.forget(running.round)
    const { leases, replica } = this.#options
    const released = isDelivered
      ? leases.release(leaseNames.repeatableRequest(running.key), replica.id)
      : Promise.resolve()
    this.#inBackground(released.finally(() => { running.ended(!isDelivered) }))
  }

  #find (key: string): Running | undefined {
    const round = this.#rounds.get(key)
    return round && this.#byRound.get(round)
  }

  #begin (
    claim: CallClaim,
    call: ModernCall,
    run: (open: OpenRequest) => Promise<KeptResponse>
  ): Round<KeptResponse> {
    const key = claim.callId
    const round = this.#rounds.begin(claim, {}, async open => await this.#run(key, async () => await run(open)))
    let ended: Running['ended'] = () => {}
    const wasCut = new Promise<boolean>(resolve => { ended = resolve })
    const running: Running = { key, round, wasCut, ended }
    this.#byCall.set(call, running)
    this.#byRound.set(round, running)
    return round
  }

  /** @returns false if another replica has the request. If the store is away, it runs here. */
  async #take (key: string, ms = RUN_MS): Promise<boolean> {
    const { leases, replica, log } = this.#options
    try {
      return await leases.acquire(leaseNames.repeatableRequest(key), replica.id, ms)
    } catch (err) {
      log.warn({ err }, 'whether a request is repeated is not known')
      return true
    }
  }

  /** Runs a request, which other replicas do not run as long as it lasts, and as its response is kept. */
  async #run (key: string, run: () => Promise<KeptResponse>): Promise<KeptResponse> {
    const { leases, replica, suspendedCalls: { repeatedInputMs } } = this.#options
    const renewal = setInterval(() => { this.#inBackground(this.#take(key)) }, RENEW_MS).unref()
    try {
      const response = await run()
      this.#inBackground(this.#take(key, repeatedInputMs))
      return response
    } catch (error) {
      // nothing has run
      this.#inBackground(leases.release(leaseNames.repeatableRequest(key), replica.id))
      throw error
    } finally {
      clearInterval(renewal)
    }
  }

  /** Gets the response from the replica that has the request. */
  async #ask (key: string, call: ModernCall): Promise<KeptResponse | 'delivered'> {
    const { bus, eventLog, replica } = this.#options
    const exchangeId = randomUUID()
    let settle: (found?: KeptResponse | 'delivered') => void = () => {}
    const response = new Promise<KeptResponse | 'delivered' | undefined>(resolve => { settle = resolve })
    const silence = setTimeout(() => { settle() }, TAKEN_MS)
    call.request.signal.addEventListener('abort', () => { settle() }, { once: true })
    const onEvent = ({ data }: { data: string }) => {
      clearTimeout(silence)
      call.runs()
      const event: RepeatedEvent = parseRecord(data)
      if (event.kind !== 'taken') settle(event.kind === 'response' ? event.response : event.kind)
    }
    try {
      await eventLog.open(exchangeId, STREAM, {})
      await eventLog.follow(exchangeId, STREAM, firstEventId(STREAM), { onEvent, onEnd: () => { settle() } })
      await bus.publish('requestRepeated', { fingerprint: key, origin: replica.id, exchangeId })
      return await response ?? unreachable(call)
    } finally {
      clearTimeout(silence)
      this.#inBackground(eventLog.deleteSession(exchangeId))
    }
  }

  /** Sends another replica the response to a request that this one has. */
  #answer ({ fingerprint: key, origin, exchangeId }: BusMessages['requestRepeated']): void {
    const { eventLog, replica } = this.#options
    const running = origin === replica.id ? undefined : this.#find(key)
    if (running === undefined) return
    const left = new AbortController()
    const unwatch = replica.watch(origin, () => { left.abort() })
    const open: OpenRequest = {
      signal: left.signal,
      mayReturn: () => true,
      notify: () => undefined,
      progressToken: undefined
    }
    const write = async (event: RepeatedEvent, isLast: boolean) => {
      await eventLog.append(exchangeId, STREAM, [{ data: JSON.stringify(event), isKept: true, isFinal: isLast }])
    }
    const respond = async () => {
      await write({ kind: 'taken' }, false)
      await write(
        await running.wasCut
          ? { kind: 'response', response: await running.round.join(open) }
          : { kind: 'delivered' },
        true
      )
    }
    this.#inBackground(respond().finally(unwatch))
  }

  #inBackground (work: Promise<unknown>): void {
    work.catch((err: unknown) => { this.#options.log.warn({ err }, 'what belongs to a request that may be repeated') })
  }
}

function unreachable ({ message }: ModernCall): KeptResponse {
  return {
    status: 200,
    headers: [['content-type', 'application/json']],
    text: errorText(jsonRpcCodes.serverError, UNREACHABLE, message?.id)
  }
}

function toClaim ({ caller, person, message }: ModernCall): CallClaim {
  const { _meta, ...params } = message?.params ?? {}
  const owner = ownerKey(toOwner(caller))
  const { grantId } = caller.extra
  const callId = fingerprint([owner, message?.method, params])
  return { callId, round: 0, callee: '', owner, person, ...grantId !== undefined && { grantId } }
}

/** A response to the request that has this id. */
function withId (text: string, id: string | number | undefined): string {
  const response: unknown = JSON.parse(text)
  return isObject(response) && 'id' in response && response.id !== id ? JSON.stringify({ ...response, id }) : text
}
