import { readEvents, type EventStreamOptions, type StreamEvent } from './event-stream.js'
import type { RemoteLimits } from '../options.js'
import { RemoteError, RemoteSilentError, RemoteUnreachableError } from './remote-error.js'

/**
 * Returns the token that goes along; undefined: none.
 * @param rejected the one that the remote server did not take: another one is wanted, or none
 */
export type FindToken = (rejected?: string) => Promise<string | undefined>

export interface RemoteHttpOptions {
  url: URL
  headers: Readonly<Record<string, string>>
  findToken: FindToken
  fetch: typeof globalThis.fetch
  limits: RemoteLimits
}

export interface RemoteRequest {
  method: 'POST' | 'GET' | 'DELETE'
  /** Default: that of the remote server. */
  url?: URL
  headers?: Record<string, string>
  body?: string
  signal: AbortSignal
  /** Time without a byte after which it is given up. */
  silenceMs: number
}

const REDIRECTS: ReadonlySet<number> = new Set([301, 302, 303, 307, 308])
const MAX_REDIRECTS = 3
const MAX_ERROR_BYTES = 65_536
/** What is read of a stream that has brought what was wanted, so that its connection can be used again. */
const DRAIN_MS = 1000

/** Aborts when nothing happens for a time, or when another signal does. */
class Silence {
  readonly #controller = new AbortController()
  readonly #outer: AbortSignal
  readonly #ms: number
  #timer: NodeJS.Timeout | undefined
  /** Whether time has run out. */
  isOver = false

  constructor (ms: number, outer: AbortSignal) {
    this.#outer = outer
    this.#ms = ms
    this.touch()
    if (outer.aborted) this.#abort()
    else outer.addEventListener('abort', this.#abort, { once: true })
  }

  get signal (): AbortSignal {
    return this.#controller.signal
  }

  /** Something has happened, or is waited for again. */
  touch (): void {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => {
      this.isOver = true
      this.#controller.abort()
    }, this.#ms).unref()
  }

  /** Nothing is waited for now. */
  pause (): void {
    clearTimeout(this.#timer)
  }

  end (): void {
    clearTimeout(this.#timer)
    this.#outer.removeEventListener('abort', this.#abort)
  }

  /** What an error means to those who wait. */
  explain (error: unknown): unknown {
    if (this.isOver) return new RemoteSilentError('it did not respond in time')
    if (this.#outer.aborted || error instanceof RemoteError) return error
    return new RemoteUnreachableError('the connection failed', { cause: error })
  }

  readonly #abort = (): void => { this.#controller.abort(this.#outer.reason) }
}

/** A response of the remote server, of which nothing but the head has been read. */
export class RemoteResponse {
  readonly status: number
  readonly headers: Headers
  readonly #body: ReadableStream<Uint8Array> | null
  readonly #silence: Silence
  readonly #maxBytes: number

  constructor (response: Response, silence: Silence, maxBytes: number) {
    this.status = response.status
    this.headers = response.headers
    this.#body = response.body
    this.#silence = silence
    this.#maxBytes = maxBytes
  }

  get isOk (): boolean {
    return this.status >= 200 && this.status < 300
  }

  get mediaType (): string {
    return (this.headers.get('content-type') ?? '').split(';', 1)[0]?.trim().toLowerCase() ?? ''
  }

  /** The text of the body. @throws {RemoteError} (rejects with it) if it is too large */
  async text (maxBytes = this.#maxBytes): Promise<string> {
    const decoder = new TextDecoder()
    let [text, bytes] = ['', 0]
    for await (const chunk of this.#chunks()) {
      bytes += chunk.byteLength
      if (bytes > maxBytes) throw new RemoteError('it sends a message that is too large', { isLasting: true })
      text += decoder.decode(chunk, { stream: true })
    }
    return text + decoder.decode()
  }

  /** The beginning of the body of an error response; empty if it cannot be read. */
  async errorText (): Promise<string> {
    return await this.text(MAX_ERROR_BYTES).catch(() => '')
  }

  /** The events of the body. @param onRetry is told how long to wait before the stream is asked for again */
  events (onRetry?: EventStreamOptions['onRetry']): AsyncGenerator<StreamEvent> {
    return readEvents(this.#chunks(), { maxLength: this.#maxBytes, onRetry })
  }

  /** Gives up what has not been read. */
  async discard (): Promise<void> {
    this.#silence.end()
    if (this.#body?.locked === false) await this.#body.cancel().catch(() => {})
  }

  async * #chunks (): AsyncGenerator<Uint8Array> {
    if (this.#body === null) return this.#silence.end()
    const reader = this.#body.getReader()
    let isOver = false
    try {
      for (let next = await reader.read(); !next.done; next = await reader.read()) {
        // the time in which nobody asks for more is none of the remote server's
        this.#silence.pause()
        yield next.value
        this.#silence.touch()
      }
      isOver = true
    } catch (error) {
      isOver = true
      throw this.#silence.explain(error)
    } finally {
      this.#silence.end()
      if (!isOver) drain(reader)
    }
  }
}

/** Reads on for a moment: most streams end by themselves when they have brought what was wanted. */
function drain (reader: ReadableStreamDefaultReader<Uint8Array>): void {
  const cancel = () => { reader.cancel().catch(() => {}) }
  const timer = setTimeout(cancel, DRAIN_MS)
  timer.unref()
  reader.read().then(({ done }) => {
    clearTimeout(timer)
    if (!done) cancel()
  }, () => { clearTimeout(timer) })
}

/** Sends HTTP requests to a remote server. */
export class RemoteHttp {
  readonly limits: RemoteLimits
  readonly url: URL
  readonly #options: RemoteHttpOptions

  constructor (options: RemoteHttpOptions) {
    this.#options = options
    this.limits = options.limits
    this.url = options.url
  }

  /**
   * Sends a request; once more, with another token, if it is refused and there is one.
   * @throws {RemoteError} (rejects with it) if there is no response, or one that says that we may not ask
   */
  async send (request: RemoteRequest): Promise<RemoteResponse> {
    const token = await this.#options.findToken()
    const response = await this.#send(request, token)
    if (response.status !== 401) return await assertAllowed(response)
    await response.discard()
    const other = token === undefined ? undefined : await this.#options.findToken(token)
    if (other === undefined || other === token) throw refused(401)
    return await assertAllowed(await this.#send(request, other))
  }

  async #send (request: RemoteRequest, token: string | undefined): Promise<RemoteResponse> {
    const silence = new Silence(request.silenceMs, request.signal)
    try {
      const response = await this.#follow(request, token, silence.signal)
      silence.touch()
      return new RemoteResponse(response, silence, this.limits.maxMessageBytes)
    } catch (error) {
      silence.end()
      throw silence.explain(error)
    }
  }

  async #follow (
    { method, url: start = this.#options.url, headers, body }: RemoteRequest,
    token: string | undefined,
    signal: AbortSignal
  ): Promise<Response> {
    const init: RequestInit = {
      method,
      headers: {
        'user-agent': 'fastify-mcp-oauth',
        // what is decoded may be larger than it looks
        'accept-encoding': 'identity',
        ...this.#options.headers,
        ...token !== undefined && { authorization: `Bearer ${token}` },
        ...headers
      },
      ...body !== undefined && { body },
      redirect: 'manual',
      signal
    }
    let url = start
    for (let redirects = 0; ; redirects++) {
      const response = await this.#options.fetch(url.href, init)
      const { status } = response
      if (!REDIRECTS.has(status)) return response
      await response.body?.cancel()
      const isRepeatable = method === 'GET' || status === 307 || status === 308
      if (!isRepeatable || redirects === MAX_REDIRECTS) throw notFollowed(status)
      url = findRedirect(url, status, response.headers.get('location') ?? '')
    }
  }
}

/** Where a redirect leads. @throws {RemoteError} if that is another origin, which must not get our headers */
function findRedirect (url: URL, status: number, location: string): URL {
  if (!URL.canParse(location, url.href)) throw notFollowed(status)
  const next = new URL(location, url)
  if (next.origin === url.origin) return next
  const cause = new Error(`it redirects to ${next.origin}: configure the URL that it is at now`)
  throw new RemoteError('it redirects to another origin, which is not followed', { status, cause })
}

function notFollowed (status: number): RemoteError {
  return new RemoteError(`it responds with status ${status}, which cannot be followed`, { status })
}

async function assertAllowed (response: RemoteResponse): Promise<RemoteResponse> {
  if (response.status !== 401 && response.status !== 403) return response
  await response.discard()
  throw refused(response.status)
}

function refused (status: number): RemoteError {
  return new RemoteError(`it does not accept the credentials of this service (status ${status})`, { status })
}
