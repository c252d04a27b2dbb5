import type { JSONRPCMessage, JSONRPCNotification, JSONRPCRequest, RequestId } from '@modelcontextprotocol/server'
import type { CallerInfo } from '../../caller.js'
import { InvalidMessageError, SessionNotFoundError } from '../../errors.js'
import { STANDALONE_STREAM } from '../../stores/event-log.js'
import type { SessionNotification } from '../../stores/bus.js'
import type { SessionChange } from '../../stores/sessions.js'
import type { PostResponse } from '../transport/post-response.js'
import { chain, type SdkServer } from '../sdk-servers.js'
import { PostExchange } from '../transport/post-exchange.js'
import { errorText, isRequest, type JsonRpcResponse, type PostedMessages } from '../wire/messages.js'
import { CatchUp } from './records/catch-up.js'
import type { InstanceSession } from './instance-session.js'
import { takesBatches, takesPrimingEvents } from '../wire/protocol-versions.js'
import { OwnTasks } from '../tasks/own-tasks.js'
import { assertMayRun, findChecks } from './request-checks.js'
import { concerns, refuseRequest, restore } from './message-routing.js'
import { RunningRequests, type AdmittedRequests } from './running-requests.js'
import { RunningTasks } from '../tasks/running-tasks.js'
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
  /** Brings it to where others have brought the session. */
  readonly catchUp: CatchUp
  readonly #running: RunningRequests
  readonly #tasks = new RunningTasks()
  readonly #ownTasks: OwnTasks
  #server: SdkServer | undefined
  /** POSTs that wait until the server says which scopes they need. */
  #pending = 0

  constructor (session: InstanceSession) {
    this.#session = session
    this.#running = new RunningRequests(session.host.admission, session.person)
    const { host, person, record: { id: sessionId } } = session
    this.#ownTasks = new OwnTasks(host.taskTools, { person, holder: sessionId })
    this.#transport = new ServerTransport(this, `${host.replica.newId()}.`, {
      sessionId,
      tasks: this.#ownTasks,
      observer: host.observer
    })
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
    this.#ownTasks.madeBy(server)
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
   * @returns undefined if the server has them; if the server takes time to say which scopes they need, a promise, which
   * rejects with what this throws
   * @throws {InvalidMessageError} @throws {InsufficientScopeError} @throws {TooManyRequestsError}
   * @throws {ServerFullError} before the server gets any of them
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
    assertMayRun(requests, this.#session.record, this.#running)
    const pending = findChecks(requests, caller, {
      server: this.#server,
      tasks: this.#ownTasks,
      resolveScopes: this.#transport.resolveScopeChallenge,
      maySubscribe: this.#session.host.maySubscribe
    })
    let admitted
    try {
      admitted = this.#running.admit(requests, this.#session.record.subscriptions)
    } catch (error) {
      // refused: nothing awaits it
      pending?.catch(() => {})
      throw error
    }
    const take = () => { this.#take(posted, admitted, extra, caller, response) }
    if (pending !== undefined) return this.#takeAfter(pending, admitted, take)
    take()
    return undefined
  }

  async #takeAfter (pending: Promise<void>, admitted: AdmittedRequests, take: () => void): Promise<void> {
    this.#pending++
    try {
      await pending
      if (!this.#session.isServedBy(this)) {
        throw new SessionNotFoundError('Session not found: it has just ended. Initialize a new one.')
      }
      assertMayRun(admitted.requests, this.#session.record, this.#running)
    } catch (error) {
      this.#running.release(admitted)
      throw error
    } finally {
      this.#pending--
    }
    take()
  }

  #take (
    { messages, isBatch }: PostedMessages,
    admitted: AdmittedRequests,
    extra: MessageExtra,
    caller: CallerInfo,
    response: PostResponse | undefined
  ): void {
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
        this.#dispatchRequest(message, extra)
      } else {
        // an HTTP+SSE session runs in this process alone
        if (response !== undefined) {
          this.#session.host.messenger.forward(this.#session, message, this.#concerns(message))
        }
        this.#dispatch(message, extra)
      }
    }
  }

  respond (response: JsonRpcResponse): string | undefined {
    const { id } = response
    const request = id === undefined ? undefined : this.#running.end(id)
    if (id === undefined || request === undefined) return undefined
    const { exchange, change } = request
    if (change !== undefined && 'result' in response) this.#changed(change, response.result)
    if ('result' in response) this.#tasks.noteResult(response.result)
    const text = JSON.stringify(response)
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
    const text = JSON.stringify(message)
    if (exchange !== undefined) return exchange.push(text, 'id' in message)
    if (this.#running.isSilenced(relatedRequestId)) return undefined
    const { streams, host, person, record } = this.#session
    if (streams.isOverfull) return this.#refuse(relatedRequestId)
    if ('id' in message) {
      streams.say(text, true, () => { this.#transport.receive(refuseRequest(message.id), {}) })
    } else {
      host.messenger.announce(message, person, record.id)
      streams.say(text)
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
      if (request === undefined) continue
      const text = errorText(jsonRpcCodes.serverError, message, requestId)
      if (request.exchange !== undefined) request.exchange.respond(requestId, text)
      else this.#session.streams.say(text, true)
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
    if (!isRequest(message) && this.#concerns(message)) this.#dispatch(message, extra)
  }

  /** Takes what the client told another replica, if it concerns this instance. */
  receiveNotified (notification: SessionNotification, extra: MessageExtra): void {
    const message = restore(notification, this.#running)
    if (message !== undefined) this.#dispatch(message, extra)
  }

  #concerns (message: Exclude<JSONRPCMessage, JSONRPCRequest>): boolean {
    return concerns(message, this.#transport, this.#running)
  }

  #dispatchRequest (request: JSONRPCRequest, extra: MessageExtra): void {
    const exchange = this.#running.get(request.id)?.exchange
    const closers = exchange !== undefined && takesPrimingEvents(this.#session.record.protocolVersion)
    // functions after a spread would cost ten times as much (V8)
    this.#transport.receiveRequest(request, closers
      ? {
          closeSSEStream: () => { exchange.releaseConnection() },
          closeStandaloneSSEStream: () => { this.#session.streams.release(STANDALONE_STREAM) },
          ...extra
        }
      : extra)
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
