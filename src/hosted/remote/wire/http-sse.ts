import type { JSONRPCMessage } from '@modelcontextprotocol/server'
import { isRequest } from '../../../mcp/wire/messages.js'
import type { StreamEvent } from './event-stream.js'
import type { RemoteHttp } from './http.js'
import { HostedEndedError } from '../../wire/hosted-error.js'
import { RemoteError } from './remote-error.js'
import { postMessage } from './resumption.js'
import type { Wire, WireReceiver } from '../../wire/wire.js'
import { parseRemoteMessages } from './parse-messages.js'

const CLOSED = 'it closed the stream before it responded'

/** HTTP+SSE of revision 2024-11-05: everything comes on one stream, with which all ends. */
export class HttpSseWire implements Wire {
  readonly #http: RemoteHttp
  readonly #receiver: WireReceiver
  readonly #closing = new AbortController()
  /** What requests wait for, by their ids. */
  readonly #calls = new Map<unknown, { resolve: () => void, reject: (error: Error) => void }>()
  readonly #endpoint: URL

  private constructor (http: RemoteHttp, receiver: WireReceiver, endpoint: URL) {
    this.#http = http
    this.#receiver = receiver
    this.#endpoint = endpoint
  }

  /** Opens the stream. @throws {RemoteError} (rejects with it) */
  static async open (http: RemoteHttp, receiver: WireReceiver): Promise<HttpSseWire> {
    const { connectSeconds, silenceSeconds } = http.limits
    const opening = new AbortController()
    const timer = setTimeout(() => {
      opening.abort(new RemoteError('it did not respond in time'))
    }, connectSeconds * 1000)
    timer.unref()
    try {
      const response = await http.send({
        method: 'GET',
        headers: { accept: 'text/event-stream' },
        signal: opening.signal,
        silenceMs: silenceSeconds * 1000
      })
      if (response.status !== 200 || response.mediaType !== 'text/event-stream') {
        await response.discard()
        throw new RemoteError(`it does not open a stream (status ${response.status})`, { status: response.status })
      }
      const events = response.events()
      const wire = new HttpSseWire(http, receiver, await findEndpoint(http.url, events))
      wire.#closing.signal.addEventListener('abort', () => { opening.abort(wire.#closing.signal.reason) })
      wire.#read(events).catch(() => {})
      return wire
    } finally {
      clearTimeout(timer)
    }
  }

  async send (message: JSONRPCMessage): Promise<void> {
    if (!isRequest(message)) return await this.#post(message)
    const response = new Promise<void>((resolve, reject) => { this.#calls.set(message.id, { resolve, reject }) })
    // it may come first
    response.catch(() => {})
    const { connectSeconds, silenceSeconds } = this.#http.limits
    const timer = setTimeout(() => {
      this.#calls.get(message.id)?.reject(new RemoteError('it did not respond in time'))
    }, (message.method === 'initialize' ? connectSeconds : silenceSeconds) * 1000)
    timer.unref()
    try {
      await this.#post(message)
      await response
    } finally {
      clearTimeout(timer)
      this.#calls.delete(message.id)
    }
  }

  async close (): Promise<void> {
    this.#end(new HostedEndedError('the connection was closed'))
  }

  async #post (message: JSONRPCMessage): Promise<void> {
    const response = await postMessage(this.#http, message, {
      url: this.#endpoint,
      headers: {},
      signal: this.#closing.signal,
      silenceMs: this.#http.limits.connectSeconds * 1000,
      isOfSession: false
    })
    await response.discard()
  }

  async #read (events: AsyncIterable<StreamEvent>): Promise<void> {
    let failure: Error = new RemoteError(CLOSED)
    try {
      for await (const { type, data } of events) {
        if (type !== 'message' || data === '') continue
        for (const message of parseRemoteMessages(data)) {
          await this.#receiver.received(message, {})
          if (!('method' in message)) this.#calls.get(message.id)?.resolve()
        }
      }
    } catch (error) {
      failure = error instanceof RemoteError ? error : new RemoteError(CLOSED, { cause: error })
    }
    if (this.#closing.signal.aborted) return
    this.#end(failure)
    this.#receiver.lost(failure)
  }

  #end (error: Error): void {
    this.#closing.abort(error)
    for (const { reject } of this.#calls.values()) reject(error)
    this.#calls.clear()
  }
}

/** Where messages are posted to. @throws {RemoteError} (rejects) if it is at another origin, which gets no headers */
async function findEndpoint (url: URL, events: AsyncGenerator<StreamEvent>): Promise<URL> {
  const first = await events.next()
  if (first.done === true || first.value.type !== 'endpoint' || !URL.canParse(first.value.data, url.href)) {
    await events.return(undefined)
    throw new RemoteError('its stream does not begin with an endpoint')
  }
  const endpoint = new URL(first.value.data, url)
  if (endpoint.origin !== url.origin) {
    await events.return(undefined)
    throw new RemoteError('its stream names an endpoint at another origin')
  }
  return endpoint
}
