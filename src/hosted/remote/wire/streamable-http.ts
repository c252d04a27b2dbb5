import { setTimeout as delay } from 'node:timers/promises'
import type { JSONRPCMessage, JSONRPCRequest, RequestId } from '@modelcontextprotocol/server'
import type { Log } from '../../../log.js'
import { getMember } from '../../../members.js'
import { isRequest } from '../../../mcp/wire/messages.js'
import type { RemoteHttp, RemoteResponse } from './http.js'
import { HostedEndedError } from '../../wire/hosted-error.js'
import { RemoteError, RemoteSessionGoneError } from './remote-error.js'
import { postMessage, Resumption } from './resumption.js'
import { RemoteSession } from './remote-session.js'
import { isResponseTo, type Wire, type WireReceiver } from '../../wire/wire.js'
import { parseRemoteMessages } from './parse-messages.js'

/** How long the first calls wait for the stream that the server's own messages come on. */
const LISTEN_MS = 500
/** With what is told before it, less than a service takes to close. */
const END_MS = 2000

/** Streamable HTTP of the revisions 2025-03-26 to 2025-11-25, with a session or without. */
export class StreamableHttpWire implements Wire {
  readonly #http: RemoteHttp
  readonly #receiver: WireReceiver
  readonly #log: Log
  readonly #closing = new AbortController()
  readonly #calls = new Map<RequestId, AbortController>()
  readonly #session = new RemoteSession()
  #listening: Promise<void> | undefined
  #opened: Promise<unknown> = Promise.resolve()
  #renewal: Promise<void> | undefined

  constructor (http: RemoteHttp, receiver: WireReceiver, log: Log) {
    this.#http = http
    this.#receiver = receiver
    this.#log = log
  }

  async send (message: JSONRPCMessage): Promise<void> {
    if (isRequest(message)) await (message.method === 'initialize' ? this.#begin(message) : this.#call(message))
    else await this.#tell(message)
  }

  async close (): Promise<void> {
    this.#closing.abort(new HostedEndedError('the connection was closed'))
    await this.#end()
  }

  /** Ends the session. */
  async #end (): Promise<void> {
    if (this.#session.id === undefined) return
    try {
      const response = await this.#http.send({
        method: 'DELETE',
        headers: this.#session.headers,
        signal: AbortSignal.timeout(END_MS),
        silenceMs: END_MS
      })
      await response.discard()
    } catch (err) {
      this.#log.debug({ err }, 'a session could not be ended at the remote server')
    }
  }

  async #begin (request: JSONRPCRequest): Promise<void> {
    const ms = this.#http.limits.connectSeconds * 1000
    await this.#run(request, ms, async message => {
      if ('result' in message) this.#session.begun(request.params, message.result)
      await this.#receiver.received(message, {})
    })
  }

  async #call (request: JSONRPCRequest): Promise<void> {
    await this.#opened
    await this.#renewal
    const { id } = this.#session
    const take = async (message: JSONRPCMessage) => {
      if (isResponseTo(message, request.id) && 'result' in message) this.#session.changed(request)
      await this.#receiver.received(message, { relatedRequestId: request.id })
    }
    const ms = this.#http.limits.silenceSeconds * 1000
    try {
      await this.#run(request, ms, take)
    } catch (error) {
      if (!(error instanceof RemoteSessionGoneError)) throw error
      // it has not run; what else the session had is gone
      await this.#renew(id)
      await this.#run(request, ms, take)
    }
  }

  /** Sends a notification or a response. */
  async #tell (message: JSONRPCMessage): Promise<void> {
    const response = await this.#post(message, this.#closing.signal, this.#http.limits.connectSeconds * 1000)
    await response.discard()
    if (!('method' in message)) return
    if (message.method === 'notifications/initialized') this.#listen()
    const id = getMember(message.params, 'requestId')
    if (message.method === 'notifications/cancelled' && (typeof id === 'string' || typeof id === 'number')) {
      this.#calls.get(id)?.abort(new HostedEndedError('the call was cancelled'))
    }
  }

  /** Makes a request, and takes what comes until its response. */
  async #run (
    request: JSONRPCRequest,
    silenceMs: number,
    take: (message: JSONRPCMessage) => Promise<void>
  ): Promise<void> {
    const controller = new AbortController()
    const abort = () => { controller.abort(this.#closing.signal.reason) }
    const { signal } = this.#closing
    signal.addEventListener('abort', abort, { once: true })
    if (signal.aborted) abort()
    this.#calls.set(request.id, controller)
    try {
      const response = await this.#post(request, controller.signal, silenceMs)
      if (request.method === 'initialize') this.#session.id = response.headers.get('mcp-session-id') ?? undefined
      await this.#takeResponse(request.id, response, take, { signal: controller.signal, silenceMs })
    } finally {
      signal.removeEventListener('abort', abort)
      if (this.#calls.get(request.id) === controller) this.#calls.delete(request.id)
    }
  }

  async #takeResponse (
    id: RequestId,
    response: RemoteResponse,
    take: (message: JSONRPCMessage) => Promise<void>,
    { signal, silenceMs }: { signal: AbortSignal, silenceMs: number }
  ): Promise<void> {
    if (response.mediaType === 'application/json') {
      const messages = parseRemoteMessages(await response.text())
      for (const message of messages) await take(message)
      if (messages.some(message => isResponseTo(message, id))) return
      throw new RemoteError('it responds without a response to the request')
    }
    if (response.mediaType !== 'text/event-stream') {
      await response.discard()
      const type = JSON.stringify(response.mediaType.slice(0, 100))
      throw new RemoteError(`it responds with status ${response.status} and the content type ${type}`)
    }
    const resumption = new Resumption(this.#http, () => this.#session.headers, { signal, silenceMs })
    await resumption.follow(response, async message => {
      await take(message)
      return isResponseTo(message, id)
    })
  }

  async #post (message: JSONRPCMessage, signal: AbortSignal, silenceMs: number): Promise<RemoteResponse> {
    const isHandshake = isRequest(message) && message.method === 'initialize'
    const headers = isHandshake ? {} : this.#session.headers
    const isOfSession = !isHandshake && this.#session.id !== undefined
    return await postMessage(this.#http, message, { headers, signal, silenceMs, isOfSession })
  }

  /** Begins the session again, if no other call has done so: what it knew of the client is told once more. */
  async #renew (goneId: string | undefined): Promise<void> {
    if (this.#renewal === undefined && this.#session.id !== goneId) return
    this.#renewal ??= this.#beginAgain().finally(() => { this.#renewal = undefined })
    await this.#renewal
  }

  async #beginAgain (): Promise<void> {
    this.#log.info({}, 'the session at the remote server is over: it is begun again')
    const { result: before, id: goneId } = this.#session
    const ms = this.#http.limits.connectSeconds * 1000
    for (const request of this.#session.replay()) {
      if (!isRequest(request)) {
        await this.#tell(request)
        continue
      }
      await this.#run(request, ms, async message => {
        if (!isResponseTo(message, request.id)) return
        if (!('result' in message)) throw new RemoteError('its session is over, and cannot be begun again')
        if (request.method !== 'initialize') return
        if (message.result.protocolVersion !== getMember(before, 'protocolVersion')) {
          await this.#end()
          // the next call comes here again
          this.#session.id = goneId
          throw new RemoteError('its session is over, and a new one is of another revision: initialize again')
        }
      })
    }
  }

  /** Opens the stream that messages come on that belong to no call; again, as often as it ends. */
  #listen (): void {
    if (this.#listening !== undefined) return
    const { signal } = this.#closing
    const silenceMs = this.#http.limits.silenceSeconds * 1000
    const resumption = new Resumption(this.#http, () => this.#session.headers, { signal, silenceMs })
    const opened = new Promise<void>(resolve => {
      this.#listening = resumption.listen(
        async message => { await this.#receiver.received(message, { relatedRequestId: undefined }) },
        resolve
      ).catch((err: unknown) => {
        if (!signal.aborted) this.#log.debug({ err }, 'the remote server has no stream for its own messages')
      }).finally(() => {
        resolve()
        this.#listening = undefined
      })
    })
    this.#opened = Promise.race([opened, delay(LISTEN_MS, undefined, { ref: false })])
  }
}
