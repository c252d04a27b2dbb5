import type { JSONRPCMessage, JSONRPCNotification, JSONRPCRequest, RequestId } from '@modelcontextprotocol/server'
import type { CallerInfo } from '../../caller.js'
import { InvalidMessageError, SessionNotFoundError } from '../../errors.js'
import type { SessionNotification } from '../../stores/bus.js'
import type { SessionChange } from '../../stores/sessions.js'
import type { PostResponse } from '../transport/post-response.js'
import { chain, type SdkServer } from '../sdk-servers.js'
import { PostExchange } from '../transport/post-exchange.js'
import { errorText, isRequest, type JsonRpcResponse, type PostedMessages } from '../wire/messages.js'
import { CatchUp } from './records/catch-up.js'
import type { InstanceSession } from './instance-session.js'
import { takesBatches } from '../wire/protocol-versions.js'
import { findRefusals } from '../access/check-access.js'
import type { Refusals } from '../access/guard.js'
import { VisibleResponses } from '../access/visible-responses.js'
import { OwnTasks } from '../tasks/own-tasks.js'
import { withStreamClosers } from './streams/stream-closers.js'
import { concerns, refuseRequest, restore } from './message-routing.js'
import { RunningRequests, type AdmittedRequests, type CheckedPost, type RunningRequest } from './running-requests.js'
import { RunningTasks } from '../tasks/running-tasks.js'
import { SessionAsker } from '../tasks/session-asker.js'
import { ServerTransport, type Outlet } from '../transport/server-transport.js'
import { jsonRpcCodes } from '../../json-rpc-codes.js'
import type { MessageExtra } from '../transport/message-extra.js'

const GRANT_ENDED = 'The login that this request was made with has ended.'
const TOO_MUCH = 'The message was not sent: too many wait for the client. A server should await what it sends.'
const NOT_READ = 'The call was cancelled: the client does not read its response.'

/** An SDK server that serves a session: takes the client's messages to it, and its messages to their receivers. */
export class ServerInstance implements Outlet {
  readonly #session: InstanceSession
  readonly #transport: ServerTransport
  readonly #asker: SessionAsker
  /** Brings it to where others have brought the session. */
  readonly catchUp: CatchUp
  readonly #running: RunningRequests
  readonly #tasks = new RunningTasks()
  readonly #ownTasks: OwnTasks
  readonly #visible: VisibleResponses
  #server: SdkServer | undefined
  /** POSTs that wait until it is known whether they may run. */
  #pending = 0

  constructor (session: InstanceSession) {
    this.#session = session
    this.#running = new RunningRequests(session.host.admission, session.person)
    const { host, person, record: { id: sessionId } } = session
    const { guard } = host
    this.#ownTasks = new OwnTasks(host.taskTools, { person, holder: sessionId })
    this.#visible = new VisibleResponses(guard, this.#ownTasks)
    this.#transport = new ServerTransport(this, `${host.replica.newId()}.`, {
      sessionId,
      visible: this.#visible,
      observer: host.observer,
      served: session.requests
    })
    this.#asker = new SessionAsker(session, this.#transport)
    this.catchUp = new CatchUp(this.#transport)
  }

  /** Whether requests run. */
  get running (): boolean {
    return this.#running.size > 0 || this.#pending > 0
  }

  /** Whether requests or tasks run, or the server waits for the client. */
  get busy (): boolean {
    return this.running || this.#transport.waiting > 0 || this.#tasks.any
  }

  async connect (server: SdkServer): Promise<void> {
    this.#server = server
    this.#visible.madeBy(server)
    await server.connect(this.#transport)
    this.#transport.onerror = chain(this.#transport.onerror, error => {
      this.#session.host.log.debug({ err: error, sessionId: this.#session.record.id }, 'the server reports an error')
    })
  }

  /** Runs the client's `initialize`. @returns the server's result */
  async initialize (params: Record<string, unknown>, extra: MessageExtra): Promise<Record<string, unknown>> {
    return this.#transport.request('initialize', params, extra)
  }

  /**
   * Takes the messages of one POST.
   * @param response absent: the responses go to the one stream of the session (HTTP+SSE)
   * @returns undefined if the server has them; a promise if it takes time to know whether they may run
   * @throws {InvalidMessageError} @throws {InsufficientScopeError} @throws {ForbiddenCallError}
   * @throws {TooManyRequestsError} @throws {ServerFullError} @throws {TemporarilyUnavailableError} (or rejects) before
   * the server gets any of them
   */
  receiveOrPromise (
    posted: PostedMessages,
    extra: MessageExtra,
    caller: CallerInfo,
    response?: PostResponse
  ): Promise<void> | undefined {
    const { requests, isBatch } = posted
    if (isBatch && !takesBatches(this.#session.record.protocolVersion)) {
      throw new InvalidMessageError('Invalid Request: batches exist in revision 2025-03-26 only.')
    }
    this.#running.assertMayRun(requests, this.#session.record)
    const { guard, maySubscribe } = this.#session.host
    const asking = { caller, server: this.#server, tasks: this.#ownTasks }
    const resolve = this.#transport.resolveScopeChallenge
    const mayBeStatus = response !== undefined && !isBatch
    const checks = findRefusals(requests, { ...asking, guard, resolve, maySubscribe, mayBeStatus })
    const { subscriptions } = this.#session.record
    const [admitted, refusals] = this.#running.admit(requests, subscriptions, caller, checks)
    const take = (found?: Refusals) => { this.#take({ posted, admitted, extra, caller, response, refusals: found }) }
    if (refusals instanceof Promise) return this.#takeAfter(refusals, admitted, take)
    take(refusals)
    return undefined
  }

  async #takeAfter (
    pending: Promise<Refusals | undefined>,
    admitted: AdmittedRequests,
    take: (refusals?: Refusals) => void
  ): Promise<void> {
    this.#pending++
    let refusals
    try {
      refusals = await pending
      if (!this.#session.isServedBy(this)) {
        throw new SessionNotFoundError('Session not found: it has just ended. Initialize a new one.')
      }
      this.#running.assertMayRun(admitted.requests, this.#session.record)
    } catch (error) {
      this.#running.release(admitted)
      throw error
    } finally {
      this.#pending--
    }
    take(refusals)
  }

  #take ({ posted: { messages, isBatch }, admitted, extra, caller, response, refusals }: CheckedPost): void {
    const [{ requests }, { grantId }] = [admitted, caller.extra]
    const exchange = response !== undefined && requests.length > 0
      ? new PostExchange(this.#session.streams, response, {
        requests,
        isBatch,
        grantId,
        onOverfull: ids => { this.#notRead(ids) }
      })
      : undefined
    this.#running.add(admitted, grantId, exchange)
    if (exchange === undefined) response?.accepted()
    for (const message of messages) {
      if ('method' in message && 'id' in message) {
        const refusal = refusals?.get(message.id)
        if (refusal === undefined) this.#dispatchRequest(message, extra)
        else this.#transport.refuse(message, refusal, extra)
      } else {
        // an HTTP+SSE session runs in this process alone
        if (response !== undefined) {
          const isConcerned = concerns(message, this.#transport, this.#running)
          this.#session.host.messenger.forward(this.#session, message, isConcerned)
        }
        this.#dispatch(message, extra)
      }
    }
  }

  respond (response: JsonRpcResponse): string | undefined {
    const { id } = response
    const request = id === undefined ? undefined : this.#running.end(id)
    if (id === undefined || request === undefined) return undefined
    const { change } = request
    if (change !== undefined && 'result' in response) this.#changed(change, response.result)
    if ('result' in response) this.#tasks.noteResult(response.result)
    return this.#deliver(request, id, JSON.stringify(response))
  }

  #deliver ({ exchange }: RunningRequest, id: RequestId, text: string): string {
    if (exchange !== undefined) exchange.respond(id, text)
    else this.#session.streams.say(text, true)
    return text
  }

  push (
    message: JSONRPCRequest | JSONRPCNotification,
    relatedRequestId: RequestId | undefined
  ): Promise<void> | undefined {
    const exchange = relatedRequestId === undefined ? undefined : this.#running.get(relatedRequestId)?.exchange
    if (message.method === 'notifications/tasks/status') this.#tasks.noteStatus(message.params)
    const isHidden = !('id' in message) && !this.#visible.mayReceive(message, this.#session.caller)
    const text = JSON.stringify(message)
    if (exchange !== undefined) return isHidden ? undefined : exchange.push(text, 'id' in message)
    if (this.#running.isSilenced(relatedRequestId)) return undefined
    const { streams, host, person, record } = this.#session
    if (streams.isOverfull) return this.#refuse(relatedRequestId)
    if ('id' in message) {
      streams.say(text, true, () => { this.#asker.settle(refuseRequest(message.id)) })
    } else {
      host.messenger.announce(message, person, record.id)
      if (!isHidden) streams.say(text)
    }
    return streams.room
  }

  /** Too much waits: if it is of a call, that ends; if not, the server is told. */
  #refuse (relatedRequestId: RequestId | undefined): Promise<void> | undefined {
    const isOfCall = relatedRequestId !== undefined && this.#running.has(relatedRequestId)
    if (!isOfCall) return Promise.reject(new Error(TOO_MUCH))
    this.#notRead([relatedRequestId])
    return undefined
  }

  /** Gives up calls whose client does not read: what they still send is dropped. */
  #notRead (ids: readonly RequestId[]): void {
    this.#giveUp(this.#running.silence(ids), 'The client does not read.', NOT_READ)
  }

  /** The server has closed its side: it will not respond to what runs. */
  closed (): void {
    this.#asker.close()
    this.#session.instanceClosed(this)
    this.failAll(jsonRpcCodes.serverError, 'The server closed the connection before it responded.')
  }

  /** Responds to every running request with an error. */
  failAll (code: number, message: string): void {
    const exchanges = new Set<PostExchange>()
    for (const [id, { exchange }] of this.#running.entries()) {
      this.#running.end(id)
      if (exchange !== undefined) exchanges.add(exchange)
      else this.#session.streams.say(errorText(code, message, id), true)
    }
    for (const exchange of exchanges) exchange.fail(code, message)
  }

  /** Cancels what runs under a grant that has ended. */
  cancelGrant (grantId: string): void {
    const ids = this.#running.ofGrant(grantId).map(([id]) => id)
    this.#giveUp(ids, 'The grant has ended.', GRANT_ENDED)
  }

  /** Cancels requests. @param reason for the server @param message for the client */
  #giveUp (ids: readonly RequestId[], reason: string, message: string): void {
    for (const requestId of ids) {
      this.#transport.receive({ jsonrpc: '2.0', method: 'notifications/cancelled', params: { requestId, reason } }, {})
      const request = this.#running.end(requestId)
      if (request !== undefined) {
        this.#deliver(request, requestId, errorText(jsonRpcCodes.serverError, message, requestId))
      }
    }
  }

  /** The grants under which requests run. */
  * grantsInUse (): Iterable<string | undefined> {
    for (const [, { exchange }] of this.#running.entries()) yield exchange?.grantId
  }

  async close (): Promise<void> {
    await this.#server?.close()
    await this.#transport.close()
  }

  /** Takes a message that another replica received, if it concerns this instance. */
  receiveForwarded (message: JSONRPCMessage, extra: MessageExtra): void {
    if (!isRequest(message) && concerns(message, this.#transport, this.#running)) this.#dispatch(message, extra)
  }

  /** Takes what the client told another replica, if it concerns this instance. */
  receiveNotified (notification: SessionNotification, extra: MessageExtra): void {
    const message = restore(notification, this.#running)
    if (message !== undefined) this.#dispatch(message, extra)
  }

  #dispatchRequest (request: JSONRPCRequest, extra: MessageExtra): void {
    const { exchange } = this.#running.get(request.id) ?? {}
    this.#transport.receiveRequest(request, withStreamClosers(extra, exchange, this.#session))
  }

  #dispatch (message: Exclude<JSONRPCMessage, JSONRPCRequest>, extra: MessageExtra): void {
    this.#transport.receive(message, extra)
    if (!('method' in message)) return
    if (message.method === 'notifications/cancelled') this.#cancelled(message.params?.requestId)
    else if (message.method === 'notifications/initialized') this.#changed({ initialized: true })
  }

  // servers do not respond to cancelled requests
  #cancelled (id: unknown): void {
    if (typeof id === 'string' || typeof id === 'number') this.#running.end(id)?.exchange?.cancel(id)
  }

  #changed (change: SessionChange, result: Record<string, unknown> = {}): void {
    if ('initializeParams' in change) change.protocolVersion = String(result.protocolVersion)
    this.catchUp.note(change)
    if (!('initialized' in change) || !this.#session.record.initialized) this.#session.change(change)
  }
}
