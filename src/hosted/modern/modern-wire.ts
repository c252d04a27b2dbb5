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
import type { Log } from '../../log.js'
import { getMember, isObject } from '../../members.js'
import { isRequest } from '../../mcp/wire/messages.js'
import { REVISION_2025_11_25, REVISION_2026_07_28 } from '../../mcp/wire/protocol-versions.js'
import { HostedEndedError, HostedError } from '../wire/hosted-error.js'
import type { Wire, WireReceiver } from '../wire/wire.js'
import { Listener } from './listener.js'
import type { ModernPeer } from './modern-peer.js'
import { Questions } from './questions.js'

type Params = Record<string, unknown>

const MAX_ROUNDS = 50
/** Before a call is repeated that asks for nothing but time. */
const PACE_MS = 500

/**
 * Revision 2026-07-28, as a server of 2025-11-25 would speak: what `initialize` and `logging/setLevel` have said goes
 * along with every request; what the server needs of the client is asked for by requests; subscriptions are a stream.
 */
export class ModernWire implements Wire {
  readonly #peer: ModernPeer
  readonly #receiver: WireReceiver
  readonly #closing = new AbortController()
  readonly #calls = new Map<RequestId, AbortController>()
  readonly #questions: Questions
  readonly #listener: Listener
  #client: Params = {}
  #logLevel: unknown
  #nextId = 0

  constructor (peer: ModernPeer, receiver: WireReceiver, log: Log) {
    this.#peer = peer
    this.#receiver = receiver
    this.#questions = new Questions(receiver)
    this.#listener = new Listener({
      listen: async (params, signal, events) => {
        await peer.listen(this.#toRequest(this.#newId(), 'subscriptions/listen', params), signal, events)
      },
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
    this.#closing.abort(new HostedEndedError('the connection was closed'))
  }

  #notify ({ method, params }: JSONRPCNotification): void {
    const id = params?.requestId
    if (method === 'notifications/initialized') this.#listener.open()
    else if (method === 'notifications/cancelled' && (typeof id === 'string' || typeof id === 'number')) {
      // with the end of its HTTP request, a call is cancelled
      this.#calls.get(id)?.abort(new HostedEndedError('the call was cancelled'))
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
    const found = await this.#request(this.#newId(), 'server/discover', {}, this.#closing.signal)
    const { supportedVersions, capabilities: served, instructions, _meta } = found
    if (!Array.isArray(supportedVersions) || !supportedVersions.includes(REVISION_2026_07_28)) {
      throw new HostedError(`it does not serve revision ${REVISION_2026_07_28}`)
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
      let result = await this.#request(id, method, params, controller.signal)
      for (let round = 0; result.resultType === 'input_required'; round++) {
        if (round === MAX_ROUNDS) throw new HostedError('it asks the client again and again')
        const { inputRequests, requestState } = result
        const inputResponses = await this.#questions.ask(id, inputRequests, controller.signal)
        if (Object.keys(inputResponses).length === 0) {
          await delay(PACE_MS, undefined, { signal: controller.signal, ref: false })
        }
        const brought = { ...params, inputResponses, ...requestState !== undefined && { requestState } }
        result = await this.#request(id, method, brought, controller.signal)
      }
      const { resultType, ttlMs, cacheScope, ...legacy } = result
      await this.#respond(id, legacy)
    } finally {
      this.#closing.signal.removeEventListener('abort', abort)
      if (this.#calls.get(id) === controller) this.#calls.delete(id)
    }
  }

  async #request (id: RequestId, method: string, params: Params, signal: AbortSignal): Promise<Params> {
    return await this.#peer.request(this.#toRequest(id, method, params), signal)
  }

  /** A request that says all that the server must know of the client. */
  #toRequest (id: RequestId, method: string, params: Params): JSONRPCRequest {
    const _meta = {
      ...isObject(params._meta) && params._meta,
      [PROTOCOL_VERSION_META_KEY]: REVISION_2026_07_28,
      ...this.#client,
      ...this.#logLevel !== undefined && { [LOG_LEVEL_META_KEY]: this.#logLevel }
    }
    return { jsonrpc: '2.0', id, method, params: { ...params, _meta } }
  }

  #newId (): string {
    return `own.${this.#nextId++}`
  }
}
