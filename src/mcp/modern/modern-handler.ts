import type { CallerInfo } from '../../caller.js'
import { waitWhile } from '../../collections/wait-while.js'
import type { Policy } from '../../policy/policy.js'
import type { Admission } from '../admission/admission.js'
import type { McpCounts } from '../observer.js'
import type { OwnerIds } from '../owner-ids.js'
import { Guard, type WithBaseScopes } from '../access/guard.js'
import { ListenersAccess } from '../access/listeners-access.js'
import { PersonalEvents } from '../server-events/personal-events.js'
import { admitModernCall, type AdmittedCall } from './admission.js'
import { Bridge } from './bridge/bridge.js'
import type { OpenRequest } from './bridge/bridged-call.js'
import { CallResumption, type CallResumptionOptions } from './bridge/call-resumption.js'
import { createRequestStates } from './bridge/request-state.js'
import { CallServers, type CallServersOptions } from './call-servers.js'
import { FAST_PATH, FastPath } from './fast-path/fast-path.js'
import { ModernCall, type InboundMessage, type ModernCallOptions } from './modern-call.js'
import { RepeatableRequests, type KeptResponse } from './repeatable-requests.js'
import { SdkEntry, type SdkEntryOptions } from './sdk-entry.js'

export interface ModernHandlerOptions extends
  CallResumptionOptions,
  Pick<CallServersOptions, 'createServer' | 'getUpstreamAccessToken' | 'reuseInstances'>,
  Pick<SdkEntryOptions, 'maySubscribe' | 'mcpObserver'>,
  WithBaseScopes,
  Omit<ModernCallOptions, 'ownerId'> {
  /** Keys that seal request states: the first seals, all open. Default: one of this process. */
  requestStateKeys?: readonly Uint8Array[]
  /** What servers see as session ids. */
  ownerIds: OwnerIds
  /** Who may use what. Default: the scopes alone say it. */
  policy?: Policy
  /** Internal: `false` shuts the fast path. */
  [FAST_PATH]?: boolean
}

const LOGIN_ENDED = 'The login that this request was made with has ended.'
const CANCELLED = 'The request was cancelled.'
const SHUTTING_DOWN = 'The server is shutting down.'

/**
 * Serves revision 2026-07-28, which has no sessions: a server of SDK 2.x as it is, one of SDK 1.x through the bridge.
 * The fast path takes the calls that it can serve, the SDK's own handler all others.
 */
export class ModernHandler {
  readonly #unsubscribe: Array<() => void>
  readonly #options: ModernHandlerOptions
  readonly #guard: Guard | undefined
  readonly #listenersAccess: ListenersAccess | undefined
  readonly #callOptions: Omit<ModernCallOptions, 'ownerId'>
  readonly #entry: SdkEntry
  readonly #fastPath: FastPath | undefined
  /** Each with what it holds of its person's share. */
  readonly #calls = new Map<ModernCall, AdmittedCall>()
  readonly #callResumption: CallResumption
  readonly #servers: CallServers
  readonly #repeatable: RepeatableRequests

  constructor (options: ModernHandlerOptions) {
    this.#options = options
    const guard = options.policy && new Guard(options.policy, 'modern', options.baseScopes)
    this.#guard = guard
    const { log, bus, maySubscribe, heartbeatMs, mcpObserver } = options
    const { silenceMs, maxBufferedBytes, maxUnreadBytesPerStream } = options
    const bounds = { maxBufferedBytes, maxUnreadBytesPerStream }
    this.#callOptions = { silenceMs, heartbeatMs, ...bounds, guard, observer: mcpObserver }
    const { suspendedCalls: { suspendedCallSeconds }, requestStateKeys } = options
    const mayLearnOf = guard && ((uri: string, caller: CallerInfo) => guard.mayRead(uri, { caller, server: undefined }))
    const events = new PersonalEvents(log, mayLearnOf)
    this.#listenersAccess = guard && new ListenersAccess(guard, events, bus, log)
    const servers = new CallServers({ ...options, isGuarded: maySubscribe !== undefined, guard })
    const callResumption = new CallResumption(options)
    const requestStates = createRequestStates(requestStateKeys, suspendedCallSeconds)
    const bridge = new Bridge({ callResumption, requestStates, log })
    this.#callResumption = callResumption
    this.#servers = servers
    this.#repeatable = new RepeatableRequests(options)
    this.#unsubscribe = [
      // announced by servers of either era
      bus.subscribe('announced', ({ event, person }) => { events.publish(event, person) }),
      bus.subscribe('grantEnded', ({ grantId }) => {
        for (const call of this.#calls.keys()) if (call.caller.extra.grantId === grantId) call.end(LOGIN_ENDED)
      })
    ]
    this.#entry = new SdkEntry({ servers, bridge, events, maySubscribe, heartbeatMs, mcpObserver, log })
    if (options[FAST_PATH] !== false) {
      const leave: FastPath['leave'] = (call, prepared) => { this.#entry.serve(call, prepared) }
      this.#fastPath = new FastPath({ servers, bridge, mcpObserver, leave })
    }
  }

  /**
   * Begins to serve one POST. Its response rejects, before anything has run, with an `InsufficientScopeError` if the
   * caller lacks scopes that a tool needs, and with a `TooManyRequestsError` if a store says so that others share.
   * @throws {TooManyRequestsError} @throws {ServerFullError}
   */
  serve (message: InboundMessage, caller: CallerInfo): ModernCall {
    const { ownerIds, admission } = this.#options
    const call = new ModernCall(message, caller, { ...this.#callOptions, ownerId: ownerIds(caller) })
    const admitted = admitModernCall(admission, call)
    try {
      this.#begin(call, admitted, message)
    } catch (error) {
      admitted.release()
      throw error
    }
    this.#calls.set(call, admitted)
    this.#listenersAccess?.called(caller)
    return call
  }

  /** @throws {TooManyRequestsError} */
  #begin (call: ModernCall, { lease }: AdmittedCall, message: InboundMessage): void {
    if (!this.#servers.areOfSdk1 && RepeatableRequests.includes(call) && !this.#isRefused(call)) {
      this.#repeatable.serve(call, async open => await this.#run(call, message, open))
      return
    }
    const pending = this.#isRefused(call) ? undefined : lease?.hold(this.#takeCalls(call))
    if (pending === undefined) this.#dispatch(call)
    else {
      pending.then(() => { if (this.#calls.has(call)) this.#dispatch(call) })
        .catch((error: unknown) => { call.fail(error) })
    }
  }

  #takeCalls ({ caller, message }: ModernCall): ReturnType<Admission['takeCalls']> {
    if (message === undefined) return undefined
    // for a state, a bridged server begins no call: it continues the one that is meant, or refuses
    const isContinued = this.#servers.areOfSdk1 && typeof message.params?.requestState === 'string'
    return this.#options.admission.takeCalls(caller, [message], isContinued)
  }

  /** What is refused now is not the request whose response is kept, either. */
  #isRefused ({ message, caller }: ModernCall): boolean {
    return message !== undefined && this.#guard?.refuses(message, caller) === true
  }

  #dispatch (call: ModernCall): void {
    if (this.#fastPath?.serve(call) !== true) this.#entry.serve(call)
  }

  /** Runs a request apart from the HTTP request that has brought it, and whose connection may be cut. */
  async #run (first: ModernCall, message: InboundMessage, { signal, notify }: OpenRequest): Promise<KeptResponse> {
    const { caller, ownerId } = first
    const relay = { runs: () => { first.runs() }, notify }
    const call = new ModernCall(message, caller, { ...this.#callOptions, ownerId, relay })
    const places = await this.#takeCalls(call)
    signal.addEventListener('abort', () => { call.end(CANCELLED) }, { once: true })
    if (signal.aborted) call.end(CANCELLED)
    else this.#dispatch(call)
    const response = await call.response.finally(() => { places?.endAll() })
    if (response instanceof Response) {
      return { status: response.status, headers: [...response.headers], text: await response.text() }
    }
    if (typeof response !== 'string') throw new Error('A call without a response of its own has become a stream.')
    return { status: 200, headers: [['content-type', 'application/json']], text: response }
  }

  /** The response to a POST is complete, or its client has gone. @param isDelivered whether the client has it */
  end (call: ModernCall, isDelivered: boolean): void {
    this.#repeatable.ended(call, isDelivered)
    this.#calls.get(call)?.release()
    this.#calls.delete(call)
    call.end()
  }

  /** The grants under which calls run, listen or wait. */
  * grantsInUse (): Iterable<string | undefined> {
    for (const { caller } of this.#calls.keys()) yield caller.extra.grantId
    yield * this.#callResumption.grantsInUse()
  }

  /** Calls that run; those that listen are not counted. */
  get counts (): McpCounts {
    return { sessions: 0, instances: [...this.#calls.keys()].filter(call => !call.listens).length, streams: 0 }
  }

  /** Waits until no call runs, or `ms` have passed. Streams of `subscriptions/listen` do not count. */
  async drain (ms: number): Promise<void> {
    await waitWhile(() => this.#isRunning, ms)
  }

  get #isRunning (): boolean {
    if (this.#callResumption.running || this.#repeatable.running) return true
    for (const call of this.#calls.keys()) if (!call.listens) return true
    return false
  }

  /** Ends every stream and every call. */
  async close (): Promise<void> {
    for (const unsubscribe of this.#unsubscribe) unsubscribe()
    this.#listenersAccess?.close()
    for (const call of this.#calls.keys()) if (!call.listens) call.end(SHUTTING_DOWN)
    this.#repeatable.close()
    await this.#callResumption.close()
    this.#fastPath?.close()
    await this.#entry.close()
  }
}
