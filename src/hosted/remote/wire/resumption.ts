import { setTimeout as delay } from 'node:timers/promises'
import type { JSONRPCMessage } from '@modelcontextprotocol/server'
import { getMember } from '../../../members.js'
import { isRequest } from '../../../mcp/wire/messages.js'
import type { RemoteHttp, RemoteResponse } from './http.js'
import { RemoteError, RemoteSessionGoneError } from './remote-error.js'
import { parseRemoteMessages } from './parse-messages.js'

const FIRST_WAIT_MS = 1000
const MIN_WAIT_MS = 10
const MAX_WAIT_MS = 30_000
/** Times in a row that a stream cannot be resumed. */
const MAX_FAILURES = 5

interface PostOptions {
  /** Default: that of the remote server. */
  url?: URL
  headers: Record<string, string>
  signal: AbortSignal
  silenceMs: number
  /** Whether it names a session, which may be over. */
  isOfSession: boolean
}

/**
 * Posts a message.
 * @throws {RemoteSessionGoneError} @throws {RemoteError} (rejects) for a status other than 2xx
 */
export async function postMessage (
  http: RemoteHttp,
  message: JSONRPCMessage,
  { url = http.url, headers, signal, silenceMs, isOfSession }: PostOptions
): Promise<RemoteResponse> {
  const response = await http.send({
    method: 'POST',
    url,
    headers: { 'content-type': 'application/json', accept: 'application/json, text/event-stream', ...headers },
    body: JSON.stringify(message),
    signal,
    silenceMs
  })
  if (response.isOk) return response
  const { status } = response
  const text = await response.errorText()
  const rpcError = findRpcError(text)
  // many servers, after the SDK's first examples, say 400
  const isGone = status === 404 || (status === 400 && /\bsession\b/i.test(rpcError?.message ?? ''))
  if (isGone && isOfSession) throw new RemoteSessionGoneError('its session is over', { status })
  throw new RemoteError(`it responds with status ${status}`, {
    status,
    rpcError: isRequest(message) ? rpcError : undefined,
    cause: new Error(text.slice(0, 1000))
  })
}

/** The JSON-RPC error that a body has, with whatever id; undefined if it has none. */
function findRpcError (text: string): RemoteError['rpcError'] {
  try {
    const error = getMember(JSON.parse(text), 'error')
    const [code, message, data] = ['code', 'message', 'data'].map(name => getMember(error, name))
    if (!Number.isSafeInteger(code) || typeof message !== 'string') return undefined
    return { code: Number(code), message, ...data !== undefined && { data } }
  } catch {
    return undefined
  }
}

/** Reads streams, and resumes those that were cut: by a GET with `Last-Event-ID`. */
export class Resumption {
  readonly #http: RemoteHttp
  readonly #headers: () => Record<string, string>
  readonly #signal: AbortSignal
  readonly #silenceMs: number
  #lastEventId: string | undefined
  #waitMs = FIRST_WAIT_MS

  constructor (
    http: RemoteHttp,
    headers: () => Record<string, string>,
    { signal, silenceMs }: { signal: AbortSignal, silenceMs: number }
  ) {
    this.#http = http
    this.#headers = headers
    this.#signal = signal
    this.#silenceMs = silenceMs
  }

  /**
   * Reads the stream of a call.
   * @param take returns whether it was the last message
   * @throws {RemoteError} (rejects with it) if it ends before, and cannot be resumed
   */
  async follow (response: RemoteResponse, take: (message: JSONRPCMessage) => Promise<boolean>): Promise<void> {
    let [current, failures]: [RemoteResponse | undefined, number] = [response, 0]
    while (true) {
      try {
        current ??= await this.#get()
        failures = 0
        if (await this.#read(current, take)) return
      } catch (error) {
        const isOver = this.#lastEventId === undefined || this.#mustNotResume(error)
        if (isOver || ++failures > MAX_FAILURES) throw error
      }
      if (this.#lastEventId === undefined) throw new RemoteError('it closed the stream before it responded')
      current = undefined
      await delay(Math.min(this.#waitMs * 2 ** failures, MAX_WAIT_MS), undefined, { signal: this.#signal, ref: false })
    }
  }

  /**
   * Reads the stream for messages of no call, and opens it again whenever it ends.
   * @param onOpen called when it is open
   * @throws {RemoteError} (rejects with it) if there is none
   */
  async listen (take: (message: JSONRPCMessage) => Promise<void>, onOpen: () => void): Promise<void> {
    for (let failures = 0; !this.#signal.aborted;) {
      try {
        const response = await this.#get()
        onOpen()
        failures = 0
        await this.#read(response, async message => {
          await take(message)
          return false
        })
      } catch (error) {
        if (this.#mustNotResume(error)) throw error
        failures++
      }
      const ms = Math.min(this.#waitMs * 2 ** Math.min(failures, MAX_FAILURES), MAX_WAIT_MS)
      await delay(ms, undefined, { signal: this.#signal, ref: false })
    }
  }

  /** Whether the server has said so: its 4xx, or what cannot be read. */
  #mustNotResume (error: unknown): boolean {
    if (this.#signal.aborted) return true
    return error instanceof RemoteError && (error.isLasting || (error.status !== undefined && error.status < 500))
  }

  async #get (): Promise<RemoteResponse> {
    const response = await this.#http.send({
      method: 'GET',
      headers: {
        accept: 'text/event-stream',
        ...this.#headers(),
        ...this.#lastEventId !== undefined && { 'last-event-id': this.#lastEventId }
      },
      signal: this.#signal,
      silenceMs: this.#silenceMs
    })
    const { status, mediaType } = response
    if (status === 200 && mediaType === 'text/event-stream') return response
    await response.discard()
    throw new RemoteError(`it does not open a stream (status ${status})`, { status })
  }

  /** @returns whether the last message has come */
  async #read (response: RemoteResponse, take: (message: JSONRPCMessage) => Promise<boolean>): Promise<boolean> {
    const onRetry = (ms: number) => { this.#waitMs = Math.min(Math.max(ms, MIN_WAIT_MS), MAX_WAIT_MS) }
    for await (const { id, type, data } of response.events(onRetry)) {
      if (id !== undefined && id !== '') this.#lastEventId = id
      if (data === '' || type !== 'message') continue
      for (const message of parseRemoteMessages(data)) if (await take(message)) return true
    }
    return false
  }
}
