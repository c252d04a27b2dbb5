import { randomBytes } from 'node:crypto'
import type {
  JSONRPCNotification,
  JSONRPCRequest,
  RequestId
} from '@modelcontextprotocol/server'
import { personKey, type CallerInfo } from '../../caller.js'
import { InvalidMessageError, ShuttingDownError } from '../../errors.js'
import type { Admission } from '../admission/admission.js'
import type { Holder } from '../admission/places.js'
import type { Lease } from '../admission/quota.js'
import { announce } from '../server-events/announcements.js'
import type { PostResponse } from '../transport/post-response.js'
import { makeServer, type SdkServer } from '../sdk-servers.js'
import type { Log } from '../../log.js'
import { SseStream } from '../transport/sse-stream.js'
import { PostExchange, type ResponseStream, type ResponseStreams } from '../transport/post-exchange.js'
import { isRequest, type JsonRpcResponse, type PostedMessages } from '../wire/messages.js'
import { defaultLimits, type SessionLimits } from '../limits.js'
import { checkSubscriptions, type MaySubscribe } from '../server-events/may-subscribe.js'
import type { McpCounts, McpObserver } from '../observer.js'
import { OpenStreams } from '../transport/open-streams.js'
import { defaultStreamOptions, type McpTransportsOptions, type StreamOptions } from '../options.js'
import type { OwnerIds } from '../owner-ids.js'
import { OwnTasks } from '../tasks/own-tasks.js'
import { REVISION_2025_03_26, takesBatches } from '../wire/protocol-versions.js'
import { checkScopesOrPromise } from '../scopes/required-scopes.js'
import { serverContext } from '../server-context.js'
import { ServerTransport, type Outlet } from '../transport/server-transport.js'
import type { TaskTools } from '../tasks/task-tools.js'
import { jsonRpcCodes } from '../../json-rpc-codes.js'
import type { MessageExtra } from '../transport/message-extra.js'

export interface SessionlessRequestsOptions extends
  Pick<
    McpTransportsOptions,
    'createServer' | 'bus' | 'getUpstreamAccessToken' | 'limits' | 'streams' | 'mcpObserver' | 'maySubscribe'
  > {
  log: Log
  admission: Admission
  ownerIds: OwnerIds
  taskTools: TaskTools
}

/** One POST as it came. */
export interface SessionlessPost {
  posted: PostedMessages
  /** What `MCP-Protocol-Version` says. */
  protocolVersion: string | undefined
  caller: CallerInfo
  extra: MessageExtra
}

/**
 * Serves the revisions up to 2025-11-25 without sessions: every POST has a server instance of its own, which ends with
 * the answer, or with the connection: nobody could fetch the answer later. The server cannot ask the client anything.
 */
export class SessionlessRequests {
  readonly #options: SessionlessRequestsOptions
  readonly #limits: SessionLimits
  readonly #streamOptions: StreamOptions
  readonly #openStreams: OpenStreams
  readonly #running = new Set<SessionlessRequest>()
  readonly #unsubscribe: () => void
  readonly #tag = `${randomBytes(6).toString('base64url')}.`
  #idle = () => {}
  #closing = false

  constructor (options: SessionlessRequestsOptions) {
    this.#options = options
    this.#limits = { ...defaultLimits, ...options.limits }
    this.#streamOptions = { ...defaultStreamOptions, ...options.streams }
    this.#openStreams = new OpenStreams({ admission: options.admission, ...this.#streamOptions })
    this.#unsubscribe = options.bus.subscribe('grantEnded', ({ grantId }) => {
      for (const request of this.#running) {
        if (request.grantId === grantId) request.end('The login that this request was made with has ended.')
      }
    })
  }

  /** POSTs that run now. */
  get size (): number {
    return this.#running.size
  }

  get counts (): McpCounts {
    return { sessions: 0, instances: this.#running.size, streams: this.#openStreams.size }
  }

  /**
   * Serves one POST with requests. @returns what ends it when its connection closes
   * @throws {InvalidMessageError} @throws {ShuttingDownError} @throws {InsufficientScopeError}
   * @throws {TooManyRequestsError} @throws {ServerFullError}
   */
  async serve (post: SessionlessPost, answer: PostResponse): Promise<() => void> {
    check(post)
    if (this.#closing) throw new ShuttingDownError('This server is shutting down.', { retryAfterSeconds: 1 })
    const request = new SessionlessRequest(this, post, this.#tag)
    this.#running.add(request)
    try {
      const context = serverContext(this.#options, this.#options.log, () => post.caller)
      await request.connect(await makeServer(this.#options.createServer, context))
      await request.receive(post, answer)
    } catch (error) {
      request.end('The request was refused.')
      throw error
    }
    return () => { request.end('The connection was closed.') }
  }

  /** Waits until no request runs, or `ms` have passed. */
  async drain (ms: number): Promise<void> {
    if (this.#running.size === 0) return
    let timer: NodeJS.Timeout | undefined
    await new Promise<void>(resolve => {
      this.#idle = resolve
      timer = setTimeout(resolve, ms)
    })
    clearTimeout(timer)
  }

  /** Ends the requests that run, and takes no more. */
  close (): void {
    this.#closing = true
    this.#unsubscribe()
    for (const request of this.#running) request.end('The server is shutting down.')
    this.#openStreams.close()
  }

  get silenceMs (): number {
    return this.#streamOptions.silenceMs
  }

  get observer (): McpObserver | undefined {
    return this.#options.mcpObserver
  }

  get log (): Log {
    return this.#options.log
  }

  /** A response body that nothing is kept of. */
  openStream (grantId: string | undefined): SseStream {
    const stream = new SseStream({ streamId: '', grantId }, closed => { this.#openStreams.delete(closed) },
      { maxBufferedBytes: this.#limits.maxBufferedBytes, withIds: false })
    this.#openStreams.add(stream)
    stream.reads({ position: '', stop () {} })
    stream.comment()
    return stream
  }

  /** Tells the listeners of 2026-07-28 what the server of a person announces. */
  announce (notification: JSONRPCNotification, person: string): void {
    const { bus, maySubscribe } = this.#options
    announce(bus, this.log, notification, { era: 'legacy', person, isGuarded: maySubscribe !== undefined })
  }

  get maySubscribe (): MaySubscribe | undefined {
    return this.#options.maySubscribe
  }

  get ownerIds (): OwnerIds {
    return this.#options.ownerIds
  }

  get taskTools (): TaskTools {
    return this.#options.taskTools
  }

  get admission (): Admission {
    return this.#options.admission
  }

  ended (request: SessionlessRequest): void {
    if (this.#running.delete(request) && this.#running.size === 0) this.#idle()
  }
}

/** One POST and the server instance made for it. */
class SessionlessRequest implements Outlet, ResponseStreams, Holder {
  readonly grantId: string | undefined
  readonly person: string
  readonly state = 'busy'
  /** One for each request that has no response yet. */
  readonly #lease: Lease
  readonly #host: SessionlessRequests
  readonly #transport: ServerTransport
  readonly #tasks: OwnTasks
  readonly #pending = new Set<RequestId>()
  #server: SdkServer | undefined
  #exchange: PostExchange | undefined
  #over = false

  /** @throws {TooManyRequestsError} @throws {ServerFullError} */
  constructor (host: SessionlessRequests, { caller, posted }: SessionlessPost, tag: string) {
    this.#host = host
    this.grantId = caller.extra.grantId
    this.person = personKey(caller.extra)
    host.admission.takeInstance(this)
    try {
      this.#lease = host.admission.takeRequests(this.person, posted.requests)
    } catch (error) {
      host.admission.freeInstance(this)
      throw error
    }
    const ownerId = host.ownerIds(caller)
    this.#tasks = new OwnTasks(host.taskTools, { person: this.person, holder: ownerId })
    this.#transport = new ServerTransport(this, tag, { ownerId, tasks: this.#tasks, observer: host.observer })
  }

  get silenceMs (): number {
    return this.#host.silenceMs
  }

  async connect (server: SdkServer): Promise<void> {
    this.#server = server
    this.#tasks.madeBy(server)
    await server.connect(this.#transport)
  }

  /** @throws {InsufficientScopeError} @throws {InvalidParamsError} @throws {ShuttingDownError} where it has been ended meanwhile */
  async receive ({ posted, caller, extra }: SessionlessPost, answer: PostResponse): Promise<void> {
    const { messages, requests, isBatch } = posted
    const { maySubscribe } = this.#host
    if (maySubscribe !== undefined) await checkSubscriptions(requests, caller, maySubscribe)
    await checkScopesOrPromise(this.#server, requests, caller, this.#tasks, this.#transport.resolveScopeChallenge)
    if (this.#over) throw new ShuttingDownError('This request was ended before it ran.', { retryAfterSeconds: 1 })
    for (const { id } of requests) this.#pending.add(id)
    this.#exchange = new PostExchange(this, answer, requests, isBatch, this.grantId)
    for (const message of messages) {
      // what refers to another POST finds nothing here
      if (isRequest(message) || ('method' in message && message.method !== 'notifications/cancelled')) {
        this.#transport.receive(message, extra)
      }
    }
  }

  respond (response: JsonRpcResponse): void {
    if (response.id === undefined || !this.#pending.delete(response.id)) return
    this.#lease.release(1)
    this.#exchange?.respond(response.id, JSON.stringify(response))
    if (this.#pending.size === 0) this.#close()
  }

  push (message: JSONRPCRequest | JSONRPCNotification, relatedRequestId: RequestId | undefined): void {
    if (!isRequest(message)) {
      this.#exchange?.push(JSON.stringify(message))
      if (relatedRequestId === undefined) this.#host.announce(message, this.person)
    } else {
      this.#transport.receive({
        jsonrpc: '2.0',
        id: message.id,
        error: { code: jsonRpcCodes.serverError, message: 'This server runs without sessions: it cannot ask the client.' }
      }, {})
    }
  }

  /** The server has closed its side. */
  closed (): void {
    this.end('The server closed the connection before it answered.')
  }

  /** What runs is not given up for anybody. */
  giveWay (): void {}

  /** Answers what still runs with an error, and closes the instance. */
  end (reason: string): void {
    if (this.#over) return
    this.#pending.clear()
    this.#exchange?.fail(jsonRpcCodes.serverError, reason)
    this.#close()
  }

  openResponse (_requestIds: readonly RequestId[], grantId: string | undefined): ResponseStream {
    const body = this.#host.openStream(grantId)
    return {
      body,
      append: (data, final) => {
        body.onEvent({ eventId: '', data })
        if (final) body.onEnd()
      },
      end: () => { body.end() },
      release: () => {}
    }
  }

  #close (): void {
    if (this.#over) return
    this.#over = true
    this.#lease.release()
    this.#host.admission.freeInstance(this)
    this.#host.ended(this)
    const failed = (err: unknown) => { this.#host.log.error({ err }, 'a server instance could not be closed') }
    this.#server?.close().then(() => this.#transport.close()).catch(failed)
  }
}

function check ({ posted: { isBatch, messages }, protocolVersion }: SessionlessPost): void {
  if (!isBatch) return
  // MCP 2025-06-18 Transports, Protocol Version Header: without the header, the client speaks 2025-03-26
  if (!takesBatches(protocolVersion ?? REVISION_2025_03_26)) {
    throw new InvalidMessageError('Invalid Request: batches exist in revision 2025-03-26 only.')
  }
  if (messages.some(message => 'method' in message && message.method === 'initialize')) {
    throw new InvalidMessageError('Invalid Request: initialize comes alone.')
  }
}
