import { randomBytes } from 'node:crypto'
import { InvalidMessageError, ShuttingDownError } from '../../errors.js'
import { withDefaults } from '../../members.js'
import { Guard } from '../access/guard.js'
import type { Admission } from '../admission/admission.js'
import { defaultLimits, type SessionLimits } from '../limits.js'
import type { McpCounts } from '../observer.js'
import { defaultStreamOptions, type StreamOptions } from '../options.js'
import { makeServer } from '../sdk-servers.js'
import { serverContext } from '../server-context.js'
import { OpenStreams } from '../transport/open-streams.js'
import type { RefusablePostResponse } from '../transport/post-response.js'
import { SseStream } from '../transport/sse-stream.js'
import { REVISION_2025_03_26, takesBatches } from '../wire/protocol-versions.js'
import {
  SessionlessRequest,
  type SessionlessHost,
  type SessionlessPost,
  type SessionlessRequestsOptions
} from './sessionless-request.js'

/**
 * Serves the revisions up to 2025-11-25 without sessions. Every POST has a server instance of its own, which ends with
 * the response, or with the connection, as the response could not be fetched later. The server cannot send requests to
 * the client.
 */
export class SessionlessRequests implements SessionlessHost {
  readonly options: SessionlessRequestsOptions
  readonly guard: Guard | undefined
  readonly #limits: SessionLimits
  readonly #streamOptions: StreamOptions
  readonly #openStreams: OpenStreams
  readonly #running = new Set<SessionlessRequest>()
  readonly #unsubscribe: () => void
  readonly #tag = `${randomBytes(6).toString('base64url')}.`
  #idle = () => {}
  #closing = false

  constructor (options: SessionlessRequestsOptions) {
    this.options = options
    this.guard = options.policy && new Guard(options.policy, 'legacy', options.baseScopes)
    this.#limits = withDefaults(defaultLimits, options.limits)
    this.#streamOptions = withDefaults(defaultStreamOptions, options.streams)
    this.#openStreams = new OpenStreams({ admission: options.admission, ...this.#streamOptions })
    this.#unsubscribe = options.bus.subscribe('grantEnded', ({ grantId }) => {
      for (const request of this.#running) {
        if (request.grantId === grantId) request.end('The login that this request was made with has ended.')
      }
    })
  }

  /** The grants under which requests run. */
  * grantsInUse (): Iterable<string | undefined> {
    for (const { grantId } of this.#running) yield grantId
  }

  /** Number of POSTs that run now. */
  get size (): number {
    return this.#running.size
  }

  get counts (): McpCounts {
    return { sessions: 0, instances: this.#running.size, streams: this.#openStreams.size }
  }

  /**
   * Serves one POST with requests.
   * @returns a function that ends it, for when its connection closes
   * @throws {InvalidMessageError} @throws {ShuttingDownError} @throws {InsufficientScopeError}
   * @throws {TooManyRequestsError} @throws {ServerFullError}
   */
  async serve (post: SessionlessPost, response: RefusablePostResponse): Promise<() => void> {
    check(post)
    if (this.#closing) throw new ShuttingDownError('This server is shutting down.', { retryAfterSeconds: 1 })
    const request = new SessionlessRequest(this, post, this.#tag)
    this.#running.add(request)
    const served = { caller: post.caller, requestId: post.extra.http?.id }
    try {
      const context = serverContext(this.options, this.options.log, () => served)
      await request.connect(await makeServer(this.options.createServer, context))
      await request.receive(post, response)
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

  /** Ends the requests that run, and refuses others. */
  close (): void {
    this.#closing = true
    this.#unsubscribe()
    for (const request of this.#running) request.end('The server is shutting down.')
    this.#openStreams.close()
  }

  get silenceMs (): number {
    return this.#streamOptions.silenceMs
  }

  openStream (grantId: string | undefined): SseStream {
    const { maxBufferedBytes, maxUnreadBytesPerStream: maxUnreadBytes } = this.#limits
    const stream = new SseStream({ streamId: '', grantId }, closed => { this.#openStreams.delete(closed) }, {
      maxBufferedBytes,
      maxUnreadBytes,
      retryMs: this.#streamOptions.retryMs,
      withIds: false
    })
    this.#openStreams.add(stream)
    stream.comment()
    return stream
  }

  get admission (): Admission {
    return this.options.admission
  }

  ended (request: SessionlessRequest): void {
    if (this.#running.delete(request) && this.#running.size === 0) this.#idle()
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
