import type {
  JSONRPCMessage,
  JSONRPCNotification,
  JSONRPCRequest,
  MessageExtraInfo,
  RequestId
} from '@modelcontextprotocol/sdk/types.js'
import type { CallerInfo } from '../../caller.js'
import { InvalidMessageError, SessionNotFoundError } from '../../errors.js'
import { STANDALONE_STREAM } from '../../stores/event-log.js'
import type { SessionChange, SessionRecord } from '../../stores/sessions.js'
import type { PostResponse } from '../transport/post-response.js'
import type { PluggedServer } from '../create-server.js'
import { PostExchange } from '../transport/post-exchange.js'
import { errorText, isRequest } from '../wire/messages.js'
import type { InstanceSession } from './instance-session.js'
import { checkSubscriptions, subscribedBy } from '../server-events/may-subscribe.js'
import { takesBatches, takesPrimingEvents } from '../wire/protocol-versions.js'
import { OwnTasks } from '../tasks/own-tasks.js'
import { checkScopesOrPromise } from '../scopes/required-scopes.js'
import { RunningRequests, type AdmittedRequests } from './running-requests.js'
import { RunningTasks } from '../tasks/running-tasks.js'
import { ServerTransport, type Outlet } from '../transport/server-transport.js'

/** A server of the SDK connected to a session: hands it the client's messages, and its messages to whom they are for. */
export class ServerInstance implements Outlet {
  readonly #session: InstanceSession
  readonly #transport: ServerTransport
  readonly #running: RunningRequests
  readonly #tasks = new RunningTasks()
  readonly #ownTasks: OwnTasks
  #server: PluggedServer | undefined
  /** POSTs that wait to be told the scopes they need. */
  #pending = 0

  constructor (session: InstanceSession) {
    this.#session = session
    this.#running = new RunningRequests(session.host.admission, session.person)
    const { host, person, record: { id: sessionId } } = session
    this.#ownTasks = new OwnTasks(host.taskTools, { person, holder: sessionId })
    this.#transport = new ServerTransport(this, host.newInstanceTag(), {
      sessionId,
      tasks: this.#ownTasks,
      observer: host.observer
    })
  }

  /** Whether requests run. */
  get running (): boolean {
    return this.#running.size > 0 || this.#pending > 0
  }

  /** Whether requests or tasks run, or the server waits for the client. */
  get busy (): boolean {
    return this.running || this.#transport.waiting > 0 || this.#tasks.any
  }

  async connect (server: PluggedServer): Promise<void> {
    this.#server = server
    this.#ownTasks.madeBy(server)
    await server.connect(this.#transport)
    this.#transport.onerror = chain(this.#transport.onerror, error => {
      this.#session.host.log.debug({ err: error, sessionId: this.#session.record.id }, 'the server reports an error')
    })
  }

  /** Runs the client's `initialize`. @returns the server's answer */
  async initialize (params: Record<string, unknown>, extra: MessageExtraInfo): Promise<Record<string, unknown>> {
    return this.#transport.request('initialize', params, extra)
  }

  /** Brings a new instance to where the session stands. */
  async replay (record: SessionRecord, extra: MessageExtraInfo): Promise<void> {
    if (record.initializeParams === undefined) return
    await this.#transport.request('initialize', record.initializeParams, extra)
    if (record.initialized) this.#transport.receive({ jsonrpc: '2.0', method: 'notifications/initialized' }, extra)
    if (record.logLevel !== undefined) {
      await this.#transport.request('logging/setLevel', { level: record.logLevel }, extra)
    }
    for (const uri of record.subscriptions) await this.#transport.request('resources/subscribe', { uri }, extra)
  }

  /**
   * Takes the messages of one POST.
   * @returns undefined where they are handed on; where the server takes time to tell the scopes they need, a promise that
   * rejects with what this throws
   * @throws {InvalidMessageError} @throws {InsufficientScopeError} @throws {TooManyRequestsError} @throws {ServerFullError} before any of them is handed on
   */
  receiveOrPromise (
    body: JSONRPCMessage | JSONRPCMessage[],
    extra: MessageExtraInfo,
    caller: CallerInfo,
    answer: PostResponse
  ): Promise<void> | undefined {
    const messages = Array.isArray(body) ? body : [body]
    const requests = messages.filter(isRequest)
    if (Array.isArray(body) && !takesBatches(this.#session.record.protocolVersion)) {
      throw new InvalidMessageError('Invalid Request: batches exist in revision 2025-03-26 only.')
    }
    for (const request of requests) this.#check(request)
    const pending = this.#checksOrNone(requests, caller)
    let admitted
    try {
      admitted = this.#running.admit(requests, this.#session.record.subscriptions)
    } catch (error) {
      // nobody waits for it
      pending?.catch(() => {})
      throw error
    }
    const take = () => { this.#take(body, admitted, extra, caller, answer) }
    if (pending !== undefined) return this.#takeAfter(pending, admitted, take)
    take()
    return undefined
  }

  /** @returns what is to be waited for before anything is handed on */
  #checksOrNone (requests: readonly JSONRPCRequest[], caller: CallerInfo): Promise<void> | undefined {
    const scopes = checkScopesOrPromise(
      this.#server,
      requests,
      caller,
      this.#ownTasks,
      this.#transport.resolveScopeChallenge
    )
    const { maySubscribe } = this.#session.host
    if (maySubscribe === undefined || !requests.some(request => subscribedBy(request).length > 0)) return scopes
    return Promise.all([scopes, checkSubscriptions(requests, caller, maySubscribe)]).then(() => {})
  }

  async #takeAfter (pending: Promise<void>, admitted: AdmittedRequests, take: () => void): Promise<void> {
    this.#pending++
    try {
      await pending
      if (!this.#session.isServedBy(this)) {
        throw new SessionNotFoundError('Session not found: it has just ended. Initialize a new one.')
      }
      for (const request of admitted.requests) this.#check(request)
    } catch (error) {
      this.#running.release(admitted)
      throw error
    } finally {
      this.#pending--
    }
    take()
  }

  #take (
    body: JSONRPCMessage | JSONRPCMessage[],
    admitted: AdmittedRequests,
    extra: MessageExtraInfo,
    caller: CallerInfo,
    answer: PostResponse
  ): void {
    const { requests } = admitted
    if (requests.length === 0 || this.#session.record.kind === 'sse') {
      this.#running.add(admitted, undefined)
      answer.accepted()
    } else {
      this.#running.add(
        admitted,
        new PostExchange(this.#session, answer, requests, Array.isArray(body), caller.extra.grantId)
      )
    }
    for (const message of Array.isArray(body) ? body : [body]) {
      if (!isRequest(message) && isForAnyReplica(message, this.#concerns(message))) {
        this.#session.host.forward(this.#session.record.id, message)
      }
      this.#dispatch(message, extra)
    }
  }

  answer (response: Exclude<JSONRPCMessage, JSONRPCRequest | JSONRPCNotification>): void {
    const { id } = response
    const request = id === undefined ? undefined : this.#running.end(id)
    if (id === undefined || request === undefined) return
    const { exchange, change } = request
    if (change !== undefined && 'result' in response) this.#settle(change, response.result)
    if ('result' in response) this.#tasks.noteResult(response.result)
    const text = JSON.stringify(response)
    if (exchange !== undefined) exchange.respond(id, text)
    else this.#session.say(text)
  }

  push (message: JSONRPCRequest | JSONRPCNotification, relatedRequestId: RequestId | undefined): void {
    const exchange = relatedRequestId === undefined ? undefined : this.#running.get(relatedRequestId)?.exchange
    if (message.method === 'notifications/tasks/status') this.#tasks.noteStatus(message.params)
    const text = JSON.stringify(message)
    if (exchange !== undefined) exchange.push(text)
    else this.#session.say(text)
    if (exchange === undefined && !('id' in message)) this.#session.host.announce(message, this.#session.person)
  }

  /** The server has closed its side: whatever runs is not going to be answered by it. */
  closed (): void {
    this.#session.instanceClosed(this)
    this.failAll(-32000, 'The server closed the connection before it answered.')
  }

  /** Answers every running request with an error. */
  failAll (code: number, message: string): void {
    const exchanges = new Set<PostExchange>()
    for (const [id] of this.#running.entries()) {
      const exchange = this.#running.end(id)?.exchange
      if (exchange !== undefined) exchanges.add(exchange)
      // HTTP+SSE answers on the session's one stream, which ends before the log could bring it there
      else if (this.#session.record.kind === 'sse') {
        for (const stream of this.#session.streams) stream.message(errorText(code, message, id))
      }
    }
    for (const exchange of exchanges) exchange.fail(code, message)
  }

  /** Cancels what runs under a grant that has ended. */
  cancelGrant (grantId: string): void {
    for (const [id, { exchange }] of this.#running.entries()) {
      if (exchange?.grantId !== grantId) continue
      this.#transport.receive({
        jsonrpc: '2.0',
        method: 'notifications/cancelled',
        params: { requestId: id, reason: 'The grant has ended.' }
      }, {})
      this.#running.end(id)
      exchange.fail(-32000, 'The login that this request was made with has ended.')
    }
  }

  async close (): Promise<void> {
    await this.#server?.close()
    await this.#transport.close()
  }

  #check (request: JSONRPCRequest): void {
    if (
      request.method === 'initialize' &&
      (this.#session.record.initializeParams !== undefined || this.#session.record.kind !== 'sse')
    ) {
      throw new InvalidMessageError('Invalid Request: the session is initialized already.')
    }
    if (this.#running.has(request.id)) {
      throw new InvalidMessageError('Invalid Request: a request with this id is still running.')
    }
  }

  /** Takes a message that another replica got, if it is for this instance. */
  receiveForwarded (message: JSONRPCMessage, extra: MessageExtraInfo): void {
    if (!isRequest(message) && this.#concerns(message)) this.#dispatch(message, extra)
  }

  /** Brings the instance to where another replica has brought the session. */
  async follow (change: SessionChange, extra: MessageExtraInfo): Promise<void> {
    if ('logLevel' in change) await this.#transport.request('logging/setLevel', { level: change.logLevel }, extra)
    // whoever took the client's request has just asked whether they may, with the token that it came with
    else if ('subscribe' in change) {
      await this.#transport.request('resources/subscribe', { uri: change.subscribe }, extra)
    } else if ('unsubscribe' in change) {
      await this.#transport.request('resources/unsubscribe', { uri: change.unsubscribe }, extra)
    } else if ('initialized' in change) {
      this.#transport.receive({ jsonrpc: '2.0', method: 'notifications/initialized' }, extra)
    }
  }

  /** Whether a message is for this instance, as far as can be told: the others may be for one on another replica. */
  #concerns (message: Exclude<JSONRPCMessage, JSONRPCRequest>): boolean {
    if (!('method' in message)) return this.#transport.expects(message.id)
    const { method, params } = message
    if (method === 'notifications/cancelled') {
      return (typeof params?.requestId === 'string' || typeof params?.requestId === 'number') &&
        this.#running.has(params.requestId)
    }
    if (method === 'notifications/progress') return this.#transport.isOwnToken(params?.progressToken)
    // all instances of the session are to know
    return method === 'notifications/roots/list_changed'
  }

  #dispatch (message: JSONRPCMessage, extra: MessageExtraInfo): void {
    if (!('method' in message)) {
      this.#transport.receive(message, extra)
    } else if ('id' in message) {
      const exchange = this.#running.get(message.id)?.exchange
      const closers = exchange !== undefined && takesPrimingEvents(this.#session.record.protocolVersion)
      // functions after a spread would cost ten times as much (V8)
      this.#transport.receive(message, closers
        ? {
            closeSSEStream: () => { exchange.releaseConnection() },
            closeStandaloneSSEStream: () => { this.#session.releaseStreams(STANDALONE_STREAM) },
            ...extra
          }
        : extra)
    } else {
      this.#transport.receive(message, extra)
      if (message.method === 'notifications/cancelled') this.#cancelled(message.params?.requestId)
      else if (message.method === 'notifications/initialized' && !this.#session.record.initialized) {
        this.#session.change({ initialized: true })
      }
    }
  }

  // the server never answers what was cancelled
  #cancelled (id: unknown): void {
    if (typeof id === 'string' || typeof id === 'number') this.#running.end(id)?.exchange?.cancel(id)
  }

  #settle (change: SessionChange, result: Record<string, unknown>): void {
    if ('initializeParams' in change) change.protocolVersion = String(result.protocolVersion)
    this.#session.change(change)
  }
}

function isForAnyReplica (message: Exclude<JSONRPCMessage, JSONRPCRequest>, concernsUs: boolean): boolean {
  if (!('method' in message)) return !concernsUs
  if (message.method === 'notifications/roots/list_changed') return true
  return !concernsUs && (message.method === 'notifications/cancelled' || message.method === 'notifications/progress')
}

function chain (first: ((error: Error) => void) | undefined, second: (error: Error) => void): (error: Error) => void {
  return error => {
    first?.(error)
    second(error)
  }
}
