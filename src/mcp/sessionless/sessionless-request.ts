import type { JSONRPCNotification, JSONRPCRequest, RequestId } from '@modelcontextprotocol/server'
import { personKey, type CallerInfo } from '../../caller.js'
import { ShuttingDownError } from '../../errors.js'
import { jsonRpcCodes } from '../../json-rpc-codes.js'
import type { Log } from '../../log.js'
import { findRefusals } from '../access/check-access.js'
import type { Guard, WithBaseScopes } from '../access/guard.js'
import { VisibleResponses } from '../access/visible-responses.js'
import type { Admission } from '../admission/admission.js'
import type { Holder } from '../admission/places.js'
import type { RequestLease } from '../admission/request-lease.js'
import type { McpTransportsOptions } from '../options.js'
import type { OwnerIds } from '../owner-ids.js'
import type { SdkServer } from '../sdk-servers.js'
import { announce } from '../server-events/announcements.js'
import { OwnTasks } from '../tasks/own-tasks.js'
import type { TaskTools } from '../tasks/task-tools.js'
import type { MessageExtra } from '../transport/message-extra.js'
import { PostExchange, type ResponseStream, type ResponseStreams } from '../transport/post-exchange.js'
import type { RefusablePostResponse } from '../transport/post-response.js'
import { findRefusal } from '../transport/refusal-responses.js'
import { ServerTransport, type Outlet } from '../transport/server-transport.js'
import type { SseStream } from '../transport/sse-stream.js'
import { isRequest, type JsonRpcResponse, type PostedMessages } from '../wire/messages.js'

export interface SessionlessRequestsOptions extends
  Pick<
    McpTransportsOptions,
    'createServer' | 'bus' | 'getUpstreamAccessToken' | 'limits' | 'streams' | 'mcpObserver' | 'maySubscribe' | 'policy'
  >, WithBaseScopes {
  log: Log
  admission: Admission
  ownerIds: OwnerIds
  taskTools: TaskTools
}

/** One POST. */
export interface SessionlessPost {
  posted: PostedMessages
  /** The value of `MCP-Protocol-Version`. */
  protocolVersion: string | undefined
  caller: CallerInfo
  extra: MessageExtra
}

/** What the requests of a process share. */
export interface SessionlessHost {
  readonly options: SessionlessRequestsOptions
  readonly silenceMs: number
  /** Asks the policy; undefined: there is none. */
  readonly guard: Guard | undefined
  /** Opens a response body that cannot be resumed. */
  openStream (grantId: string | undefined): SseStream
  ended (request: SessionlessRequest): void
}

/** One POST and the server instance made for it. */
export class SessionlessRequest implements Outlet, ResponseStreams, Holder {
  readonly grantId: string | undefined
  readonly person: string
  readonly state = 'busy'
  /** Counts the requests that have no response yet. */
  readonly #lease: RequestLease
  readonly #host: SessionlessHost
  readonly #transport: ServerTransport
  readonly #tasks: OwnTasks
  readonly #visible: VisibleResponses
  readonly #caller: CallerInfo
  readonly #pending = new Set<RequestId>()
  #server: SdkServer | undefined
  #exchange: PostExchange | undefined
  #response: RefusablePostResponse | undefined
  #over = false

  /** @throws {TooManyRequestsError} @throws {ServerFullError} */
  constructor (host: SessionlessHost, { caller, posted }: SessionlessPost, tag: string) {
    const { admission, ownerIds, taskTools, mcpObserver: observer } = host.options
    const { guard } = host
    this.#host = host
    this.grantId = caller.extra.grantId
    this.person = personKey(caller.extra)
    admission.takeInstance(this)
    try {
      this.#lease = admission.takeRequests(this.person, posted.requests)
    } catch (error) {
      admission.freeInstance(this)
      throw error
    }
    const ownerId = ownerIds(caller)
    this.#caller = caller
    this.#tasks = new OwnTasks(taskTools, { person: this.person, holder: ownerId })
    this.#visible = new VisibleResponses(guard, this.#tasks)
    this.#transport = new ServerTransport(this, tag, { ownerId, visible: this.#visible, observer })
  }

  get silenceMs (): number {
    return this.#host.silenceMs
  }

  async connect (server: SdkServer): Promise<void> {
    this.#server = server
    this.#visible.madeBy(server)
    await server.connect(this.#transport)
  }

  /**
   * Passes the messages to the server.
   * @throws {InsufficientScopeError} @throws {InvalidParamsError} @throws {ForbiddenCallError}
   * @throws {TooManyRequestsError} @throws {TemporarilyUnavailableError}
   * @throws {ShuttingDownError} if the request was ended meanwhile
   */
  async receive ({ posted, caller, extra }: SessionlessPost, response: RefusablePostResponse): Promise<void> {
    const { messages, requests, isBatch } = posted
    const { guard, options: { maySubscribe } } = this.#host
    const refusals = await findRefusals(requests, {
      server: this.#server,
      caller,
      tasks: this.#tasks,
      guard,
      resolve: this.#transport.resolveScopeChallenge,
      maySubscribe,
      mayBeStatus: !isBatch
    })
    const running = requests.filter(({ id }) => refusals?.has(id) !== true)
    await this.#lease.hold(this.#host.options.admission.takeCalls(caller, running))
    if (this.#over) throw new ShuttingDownError('This request was ended before it ran.', { retryAfterSeconds: 1 })
    for (const { id } of requests) this.#pending.add(id)
    this.#response = response
    this.#exchange = new PostExchange(this, response, {
      requests,
      isBatch,
      grantId: this.grantId,
      onOverfull: () => { this.end('The call was cancelled: the client does not read its response.') }
    })
    for (const message of messages) {
      // a cancellation refers to another POST, which has another server
      if (isRequest(message)) this.#receive(message, extra, refusals?.get(message.id))
      else if ('method' in message && message.method !== 'notifications/cancelled') {
        this.#transport.receive(message, extra)
      }
    }
  }

  #receive (request: JSONRPCRequest, extra: MessageExtra, refusal: JsonRpcResponse | undefined): void {
    if (refusal === undefined) this.#transport.receive(request, extra)
    else this.#transport.refuse(request, refusal, extra)
  }

  respond (response: JsonRpcResponse): string | undefined {
    if (response.id === undefined || !this.#pending.delete(response.id)) return undefined
    this.#lease.end(response.id)
    const text = JSON.stringify(response)
    const refusal = findRefusal(response)
    if (refusal !== undefined && this.#exchange?.abandon() === true) {
      // none of its requests has run: they all wait for the same server
      this.#pending.clear()
      this.#response?.refuse(refusal)
    } else this.#exchange?.respond(response.id, text)
    if (this.#pending.size === 0) this.#close()
    return text
  }

  push (
    message: JSONRPCRequest | JSONRPCNotification,
    relatedRequestId: RequestId | undefined
  ): Promise<void> | undefined {
    if (isRequest(message)) {
      this.#transport.receive({
        jsonrpc: '2.0',
        id: message.id,
        error: {
          code: jsonRpcCodes.serverError,
          message: 'Server-to-client requests are not supported without sessions.'
        }
      }, {})
      return undefined
    }
    if (relatedRequestId === undefined) this.#announce(message)
    if (!this.#visible.mayReceive(message, this.#caller)) return undefined
    return this.#exchange?.push(JSON.stringify(message), false)
  }

  /** The server has closed its side. */
  closed (): void {
    this.end('The server closed the connection before it responded.')
  }

  /** Never called: a busy holder keeps its place. */
  giveWay (): void {}

  /** Responds to the requests that still run with an error, and closes the instance. */
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
      get room () { return body.room },
      append: ({ data, isFinal = false }) => {
        if (data !== undefined) body.message(data)
        if (isFinal) body.end()
      },
      release: () => {}
    }
  }

  /** Notifies the listening clients of 2026-07-28. */
  #announce (notification: JSONRPCNotification): void {
    const { bus, log, maySubscribe } = this.#host.options
    announce(bus, log, notification, { era: 'legacy', person: this.person, isGuarded: maySubscribe !== undefined })
  }

  #close (): void {
    if (this.#over) return
    this.#over = true
    this.#lease.release()
    this.#host.options.admission.freeInstance(this)
    this.#host.ended(this)
    const failed = (err: unknown) => { this.#host.options.log.error({ err }, 'a server instance could not be closed') }
    this.#server?.close().then(() => this.#transport.close()).catch(failed)
  }
}
