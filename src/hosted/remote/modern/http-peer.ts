import { setTimeout as delay } from 'node:timers/promises'
import type { JSONRPCMessage, JSONRPCRequest, RequestId } from '@modelcontextprotocol/server'
import { ACKNOWLEDGED, type ListenEvents, type ModernPeer } from '../../modern/modern-peer.js'
import { isResponseTo, type WireReceiver } from '../../wire/wire.js'
import type { RemoteHttp, RemoteResponse } from '../wire/http.js'
import { parseRemoteMessages } from '../wire/parse-messages.js'
import { RemoteError, RemoteSilentError } from '../wire/remote-error.js'
import { postMessage } from '../wire/resumption.js'
import { RequestHeaders } from './headers.js'

type Params = Record<string, unknown>

const MIN_WAIT_MS = 1000
const MAX_WAIT_MS = 30_000
const MAX_PAGES = 20
const HEADER_MISMATCH = -32020

/** A remote server of 2026-07-28: each request is a POST of its own, with the end of which it is cancelled. */
export class HttpPeer implements ModernPeer {
  readonly #http: RemoteHttp
  readonly #receiver: WireReceiver
  readonly #discoverSeconds: number
  readonly #headers = new RequestHeaders()
  #nextId = 0

  /** @param discoverSeconds how long the server may take to say what it is */
  constructor (http: RemoteHttp, receiver: WireReceiver, discoverSeconds: number) {
    this.#http = http
    this.#receiver = receiver
    this.#discoverSeconds = discoverSeconds
  }

  async request (request: JSONRPCRequest, signal: AbortSignal): Promise<Params> {
    if (request.method === 'server/discover') return await this.#discover(request, signal)
    try {
      return await this.#exchange(request, signal)
    } catch (error) {
      const isMismatch = error instanceof RemoteError && error.rpcError?.code === HEADER_MISMATCH
      if (!isMismatch || request.method !== 'tools/call') throw error
      // nobody has listed the tools, which say what of a call goes into headers
      await this.#listTools(request, signal)
      return await this.#exchange(request, signal)
    }
  }

  async listen (request: JSONRPCRequest, signal: AbortSignal, events: ListenEvents): Promise<void> {
    for (let failures = 0; !signal.aborted;) {
      try {
        const response = await this.#post({ ...request, id: this.#newId() }, signal)
        await takeEvents(response, events, () => { failures = 0 })
        failures++
      } catch (error) {
        const isRefused = error instanceof RemoteError && error.status !== undefined && error.status < 500
        if (signal.aborted || isRefused || (error instanceof RemoteError && error.isLasting)) throw error
        failures++
      }
      const ms = Math.min(MIN_WAIT_MS * 2 ** Math.min(failures, 5), MAX_WAIT_MS)
      await delay(ms, undefined, { signal, ref: false })
    }
  }

  /** Whatever comes meanwhile: older servers may open a stream for it that says nothing. */
  async #discover (request: JSONRPCRequest, signal: AbortSignal): Promise<Params> {
    const silence = new AbortController()
    const giveUp = () => { silence.abort(new RemoteSilentError('it did not respond in time')) }
    const timer = setTimeout(giveUp, this.#discoverSeconds * 1000).unref()
    try {
      return await this.#exchange(request, AbortSignal.any([signal, silence.signal]))
    } finally {
      clearTimeout(timer)
    }
  }

  async #listTools ({ params }: JSONRPCRequest, signal: AbortSignal): Promise<void> {
    const { progressToken, ..._meta } = params?._meta ?? {}
    let cursor: unknown
    for (let page = 0; page < MAX_PAGES && (page === 0 || typeof cursor === 'string'); page++) {
      const result = await this.#exchange({
        jsonrpc: '2.0',
        id: this.#newId(),
        method: 'tools/list',
        params: { _meta, ...cursor !== undefined && { cursor } }
      }, signal)
      cursor = result.nextCursor
    }
  }

  async #exchange (request: JSONRPCRequest, signal: AbortSignal): Promise<Params> {
    const { id, method } = request
    for await (const message of readMessages(await this.#post(request, signal))) {
      if (!isResponseTo(message, id)) await this.#receiver.received(message, { relatedRequestId: id })
      else if ('error' in message) throw new RemoteError('it responds with an error', { rpcError: message.error })
      else if ('result' in message) {
        if (method === 'tools/list') this.#headers.note(message.result)
        return message.result
      }
    }
    throw new RemoteError('it closed the stream before it responded')
  }

  async #post (request: JSONRPCRequest, signal: AbortSignal): Promise<RemoteResponse> {
    const { method, params = {} } = request
    return await postMessage(this.#http, request, {
      headers: this.#headers.make(method, params),
      signal,
      silenceMs: this.#http.limits.silenceSeconds * 1000,
      isOfSession: false
    })
  }

  #newId (): RequestId {
    return `http.${this.#nextId++}`
  }
}

async function takeEvents (response: RemoteResponse, events: ListenEvents, onMessage: () => void): Promise<void> {
  if (response.mediaType !== 'text/event-stream') {
    await response.discard()
    throw new RemoteError('it does not open a stream', { status: 400 })
  }
  for await (const { type, data } of response.events()) {
    if (type !== 'message' || data === '') continue
    for (const message of parseRemoteMessages(data)) {
      onMessage()
      if (!('method' in message) || 'id' in message) continue
      if (message.method === ACKNOWLEDGED) events.confirmed()
      else await events.received(message)
    }
  }
}

async function * readMessages (response: RemoteResponse): AsyncGenerator<JSONRPCMessage> {
  if (response.mediaType === 'application/json') {
    yield * parseRemoteMessages(await response.text())
    return
  }
  if (response.mediaType !== 'text/event-stream') {
    await response.discard()
    throw new RemoteError(`it responds with status ${response.status} and no message`)
  }
  for await (const { type, data } of response.events()) {
    if (type === 'message' && data !== '') yield * parseRemoteMessages(data)
  }
}
