import { setTimeout as delay } from 'node:timers/promises'
import {
  CLIENT_CAPABILITIES_META_KEY,
  CLIENT_INFO_META_KEY,
  LOG_LEVEL_META_KEY,
  PROTOCOL_VERSION_META_KEY,
  SERVER_INFO_META_KEY,
  SUPPORTED_PROTOCOL_VERSIONS,
  type JSONRPCMessage,
  type JSONRPCNotification,
  type JSONRPCRequest,
  type RequestId
} from '@modelcontextprotocol/server'
import type { Log } from '../../../log.js'
import { getMember, isObject } from '../../../members.js'
import { isRequest } from '../../../mcp/wire/messages.js'
import { REVISION_2025_11_25, REVISION_2026_07_28 } from '../../../mcp/wire/protocol-versions.js'
import type { RemoteHttp, RemoteResponse } from '../wire/http.js'
import { RemoteEndedError, RemoteError } from '../wire/remote-error.js'
import { postMessage } from '../wire/resumption.js'
import { isResponseTo, parseRemoteMessages, type Wire, type WireReceiver } from '../wire/wire.js'
import { RequestHeaders } from './headers.js'
import { Listener } from './listener.js'
import { Questions } from './questions.js'

type Params = Record<string, unknown>

const MAX_ROUNDS = 50
/** Before a call is repeated that asks for nothing but time. */
const PACE_MS = 500
const MAX_PAGES = 20
const HEADER_MISMATCH = -32020

/**
 * Revision 2026-07-28, as a server of 2025-11-25 would speak: what `initialize` and `logging/setLevel` have said goes
 * along with every request; what the server needs of the client is asked for by requests; subscriptions are a stream.
 */
export class ModernWire implements Wire {
  readonly #http: RemoteHttp
  readonly #receiver: WireReceiver
  readonly #closing = new AbortController()
  readonly #calls = new Map<RequestId, AbortController>()
  readonly #headers = new RequestHeaders()
  readonly #questions: Questions
  readonly #listener: Listener
  #client: Params = {}
  #logLevel: unknown
  #nextId = 0

  constructor (http: RemoteHttp, receiver: WireReceiver, log: Log) {
    this.#http = http
    this.#receiver = receiver
    this.#questions = new Questions(receiver)
    this.#listener = new Listener({
      open: async (params, signal) => await this.#post(this.#newId(), 'subscriptions/listen', params, signal),
      receiver,
      log
    })
  }

  async send (message: JSONRPCMessage): Promise<void> {
    if (isRequest(message)) await this.#serve(message)
    else if ('method' in message) this.#notify(message)
    else this.#questions.answered(message)
  }

  async close (): Promise<void> {
    this.#listener.close()
    this.#closing.abort(new RemoteEndedError('the connection was closed'))
  }

  #notify ({ method, params }: JSONRPCNotification): void {
    const id = params?.requestId
    if (method === 'notifications/initialized') this.#listener.open()
    else if (method === 'notifications/cancelled' && (typeof id === 'string' || typeof id === 'number')) {
      // with the end of its HTTP request, a call is cancelled
      this.#calls.get(id)?.abort(new RemoteEndedError('the call was cancelled'))
    }
  }

  async #serve (request: JSONRPCRequest): Promise<void> {
    const { id, method, params = {} } = request
    switch (method) {
      case 'initialize':
        return await this.#respond(id, await this.#initialize(params))
      case 'ping':
        return await this.#respond(id, {})
      case 'logging/setLevel':
        this.#logLevel = params.level
        return await this.#respond(id, {})
      case 'resources/subscribe':
      case 'resources/unsubscribe':
        await this.#listener.change(String(params.uri), method === 'resources/subscribe')
        return await this.#respond(id, {})
    }
    await this.#call(request)
  }

  async #respond (id: RequestId, result: Params): Promise<void> {
    await this.#receiver.received({ jsonrpc: '2.0', id, result }, { relatedRequestId: id })
  }

  async #initialize ({ protocolVersion, capabilities, clientInfo }: Params): Promise<Params> {
    this.#client = {
      [CLIENT_INFO_META_KEY]: clientInfo,
      [CLIENT_CAPABILITIES_META_KEY]: isObject(capabilities) ? capabilities : {}
    }
    const found = await this.#ask('server/discover', {}, this.#http.limits.connectSeconds)
    const { supportedVersions, capabilities: served, instructions, _meta } = found
    if (!Array.isArray(supportedVersions) || !supportedVersions.includes(REVISION_2026_07_28)) {
      throw new RemoteError(`it does not serve revision ${REVISION_2026_07_28}`)
    }
    // tasks of this revision are not those of the earlier ones
    const { tasks, ...advertised } = isObject(served) ? served : {}
    this.#listener.filter(advertised)
    const info = getMember(_meta, SERVER_INFO_META_KEY)
    const isKnown = typeof protocolVersion === 'string' && SUPPORTED_PROTOCOL_VERSIONS.includes(protocolVersion)
    return {
      protocolVersion: isKnown ? protocolVersion : REVISION_2025_11_25,
      capabilities: { ...advertised, logging: {} },
      serverInfo: isObject(info) ? info : { name: 'unknown', version: '0' },
      ...typeof instructions === 'string' && { instructions }
    }
  }

  /** Makes a call, as often as it asks for more. */
  async #call (request: JSONRPCRequest): Promise<void> {
    const { id, method, params = {} } = request
    const controller = new AbortController()
    const abort = () => { controller.abort(this.#closing.signal.reason) }
    this.#closing.signal.addEventListener('abort', abort, { once: true })
    if (this.#closing.signal.aborted) abort()
    this.#calls.set(id, controller)
    try {
      let result = await this.#callOnce(id, method, params, controller.signal)
      for (let round = 0; result.resultType === 'input_required'; round++) {
        if (round === MAX_ROUNDS) throw new RemoteError('it asks the client again and again')
        const { inputRequests, requestState } = result
        const inputResponses = await this.#questions.ask(id, inputRequests, controller.signal)
        if (Object.keys(inputResponses).length === 0) {
          await delay(PACE_MS, undefined, { signal: controller.signal, ref: false })
        }
        const brought = { ...params, inputResponses, ...requestState !== undefined && { requestState } }
        result = await this.#callOnce(id, method, brought, controller.signal)
      }
      const { resultType, ttlMs, cacheScope, ...legacy } = result
      await this.#respond(id, legacy)
    } finally {
      this.#closing.signal.removeEventListener('abort', abort)
      if (this.#calls.get(id) === controller) this.#calls.delete(id)
    }
  }

  async #callOnce (id: RequestId, method: string, params: Params, signal: AbortSignal): Promise<Params> {
    try {
      return await this.#exchange(id, method, params, signal)
    } catch (error) {
      if (!(error instanceof RemoteError) || error.rpcError?.code !== HEADER_MISMATCH || method !== 'tools/call') {
        throw error
      }
      // nobody has listed the tools, which say what of a call goes into headers
      await this.#listTools()
      return await this.#exchange(id, method, params, signal)
    }
  }

  async #listTools (): Promise<void> {
    let cursor: unknown
    for (let page = 0; page < MAX_PAGES && (page === 0 || typeof cursor === 'string'); page++) {
      const result = await this.#ask('tools/list', cursor === undefined ? {} : { cursor })
      cursor = result.nextCursor
    }
  }

  /** Makes a request of our own. */
  async #ask (method: string, params: Params, seconds = this.#http.limits.silenceSeconds): Promise<Params> {
    return await this.#exchange(this.#newId(), method, params, this.#closing.signal, seconds)
  }

  /** @throws {RemoteError} (rejects with it) also for an error response */
  async #exchange (
    id: RequestId,
    method: string,
    params: Params,
    signal: AbortSignal,
    seconds = this.#http.limits.silenceSeconds
  ): Promise<Params> {
    const response = await this.#post(id, method, params, signal, seconds)
    for await (const message of readMessages(response)) {
      if (!isResponseTo(message, id)) await this.#receiver.received(message, { relatedRequestId: id })
      else if ('error' in message) throw new RemoteError('it responds with an error', { rpcError: message.error })
      else if ('result' in message) {
        if (method === 'tools/list') this.#headers.note(message.result)
        return message.result
      }
    }
    throw new RemoteError('it closed the stream before it responded')
  }

  async #post (
    id: RequestId,
    method: string,
    params: Params,
    signal: AbortSignal,
    seconds = this.#http.limits.silenceSeconds
  ): Promise<RemoteResponse> {
    const _meta = {
      ...isObject(params._meta) && params._meta,
      [PROTOCOL_VERSION_META_KEY]: REVISION_2026_07_28,
      ...this.#client,
      ...this.#logLevel !== undefined && { [LOG_LEVEL_META_KEY]: this.#logLevel }
    }
    return await postMessage(this.#http, { jsonrpc: '2.0', id, method, params: { ...params, _meta } }, {
      headers: this.#headers.make(method, params),
      signal,
      silenceMs: seconds * 1000,
      isOfSession: false
    })
  }

  #newId (): string {
    return `own.${this.#nextId++}`
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
