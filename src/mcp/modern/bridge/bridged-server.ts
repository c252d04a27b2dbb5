import {
  CLIENT_CAPABILITIES_META_KEY,
  CLIENT_INFO_META_KEY,
  type JSONRPCNotification,
  type JSONRPCRequest,
  type RequestId
} from '@modelcontextprotocol/server'
import { findRefusal } from '../../transport/refusal-responses.js'
import { InitializeFailedError, InvalidParamsError } from '../../../errors.js'
import type { ClientIdentity } from '../client-envelope.js'
import type { Log } from '../../../log.js'
import { getMember } from '../../../members.js'
import { InMemoryTransport, type AskingOptions, type InMemoryPeer } from '../../transport/in-memory-transport.js'
import type { OwnerIds } from '../../owner-ids.js'
import { jsonRpcCodes } from '../../../json-rpc-codes.js'
import type { JsonRpcResponse } from '../../wire/messages.js'
import { REVISION_2025_11_25 } from '../../wire/protocol-versions.js'
import type { OwnedExtra } from '../../transport/message-extra.js'
import { bareServer, type SdkServer1, type Server1 } from '../../sdk-servers.js'

export interface BridgedServerOptions {
  server: SdkServer1
  /** Whether its factory's servers may serve one call after the other, of clients that say the same of themselves. */
  isForMany: boolean
  /** What the server sees as session ids. */
  ownerIds: OwnerIds
  /** Takes what the server announces that belongs to no call. */
  announce: (notification: Pick<JSONRPCNotification, 'method' | 'params'>) => void
  log: Log
}

/** Where a client of 2026-07-28 has what goes into `initialize`. */
const CLIENT_INFO = `params._meta["${CLIENT_INFO_META_KEY}"]`
const CLIENT_CAPABILITIES = `params._meta["${CLIENT_CAPABILITIES_META_KEY}"]`

/** A server of SDK 1.x that is connected and initialized. It serves one call at a time. */
export class BridgedServer {
  readonly server: SdkServer1
  readonly isForMany: boolean
  readonly #link: InMemoryTransport
  readonly #ownerIds: OwnerIds
  readonly #announce: BridgedServerOptions['announce']
  readonly #log: Log
  readonly #handled = new Map<string, boolean>()
  #call: InMemoryPeer | undefined
  /** The call's id on the link. */
  #callId: RequestId | undefined

  constructor ({ server, isForMany, ownerIds, announce, log }: BridgedServerOptions) {
    this.server = server
    this.isForMany = isForMany
    this.#ownerIds = ownerIds
    this.#announce = announce
    this.#log = log
    this.#link = new InMemoryTransport({
      onRequest: (request, options) => { this.#asked(request, options) },
      onNotification: (notification, relatedRequestId) => this.#notified(notification, relatedRequestId)
    })
  }

  get isOpen (): boolean {
    return this.#link.isOpen
  }

  /**
   * Connects and initializes the server. @returns its answer to `initialize`
   * @throws {InvalidParamsError} for an identity that the server cannot read
   * @throws {InitializeFailedError} where the server refuses
   * @throws {ServiceError} what refuses the client where the server is elsewhere
   */
  async begin (
    { info, capabilities: clientCapabilities, logLevel }: ClientIdentity,
    extra: OwnedExtra
  ): Promise<Record<string, unknown>> {
    this.#link.sessionId = this.#ownerIds(extra.authInfo)
    await this.server.connect(this.#link)
    const initialized = await this.#link.request('initialize', {
      protocolVersion: REVISION_2025_11_25,
      capabilities: clientCapabilities,
      clientInfo: info
    }, extra)
    if ('error' in initialized) {
      this.close()
      const refusal = findRefusal(initialized)
      if (refusal !== undefined) throw refusal
      const { code, message } = initialized.error
      throw code === jsonRpcCodes.invalidParams
        ? new InvalidParamsError(
          message.replaceAll('params.clientInfo', CLIENT_INFO).replaceAll('params.capabilities', CLIENT_CAPABILITIES)
        )
        : new InitializeFailedError(`initialize failed: ${message}`)
    }
    this.#link.notify('notifications/initialized', undefined, extra)
    const { capabilities } = initialized.result
    if (
      logLevel !== undefined && typeof capabilities === 'object' && capabilities !== null && 'logging' in capabilities
    ) {
      await this.#link.request('logging/setLevel', { level: logLevel }, extra)
    }
    return initialized.result
  }

  /** Whether the server is somewhere else: only there it is known which methods have a handler. */
  get isElsewhere (): boolean {
    return bareServer(this.server).isElsewhere === true
  }

  /** Whether the server has a handler for a method. */
  handles (method: string): boolean {
    const known = this.#handled.get(method)
    if (known !== undefined) return known
    const handled = hasHandler(bareServer(this.server), method)
    this.#handled.set(method, handled)
    return handled
  }

  /** Makes a call; `end` takes the server's requests and notifications while it runs. */
  async call (
    method: string,
    params: Record<string, unknown> | undefined,
    extra: OwnedExtra,
    end: InMemoryPeer
  ): Promise<JsonRpcResponse> {
    this.#call = end
    this.#link.sessionId = this.#ownerIds(extra.authInfo)
    const response = this.#link.request(method, params, extra)
    this.#callId = this.#link.lastId
    return await response
  }

  /** Subscribes to resources, if the server has subscriptions: what it announces is then taken by `announce`. */
  async subscribe (
    uris: readonly string[],
    { capabilities }: Record<string, unknown>,
    extra: OwnedExtra
  ): Promise<void> {
    if (getMember(getMember(capabilities, 'resources'), 'subscribe') !== true) return
    await Promise.all(uris.map(async uri => {
      const response = await this.#link.request('resources/subscribe', { uri }, extra)
      if ('error' in response) this.#log.debug({ err: response.error }, 'a hosted server refuses a subscription')
    }))
  }

  /** Answers a request of the server. */
  respond (response: JsonRpcResponse): void {
    this.#link.respond(response)
  }

  /** The call has ended: what the server still sends for it is dropped. */
  free (): void {
    this.#call = undefined
    this.#callId = undefined
  }

  /** Ends the instance; a call that runs is cancelled: the SDK aborts its signal. */
  close (): void {
    this.#close().catch((err: unknown) => { this.#log.error({ err }, 'a server instance could not be closed') })
  }

  async #close (): Promise<void> {
    await this.server.close()
    await this.#link.close()
  }

  /**
   * Whether a message belongs to the current call. If the instance may serve many, a message without a request id may
   * belong to an earlier call, so it is not counted; whether there was an earlier one must not make a difference.
   */
  #isOfCall (relatedRequestId: RequestId | undefined): boolean {
    return relatedRequestId === undefined ? !this.isForMany : relatedRequestId === this.#callId
  }

  #asked (request: JSONRPCRequest, options: AskingOptions): void {
    if (this.#isOfCall(options.relatedRequestId)) this.#call?.onRequest(request, options)
    else {
      this.respond({
        jsonrpc: '2.0',
        id: request.id,
        error: {
          code: jsonRpcCodes.invalidRequest,
          message:
            `${request.method} names no request that is served: with reuseInstances, ` +
            'ask by extra.sendRequest, or pass relatedRequestId.'
        }
      })
    }
  }

  #notified (
    notification: JSONRPCNotification,
    relatedRequestId: RequestId | undefined
  ): Promise<void> | undefined {
    // the server gives up waiting; ids of its requests are its own
    const isForCall = notification.method === 'notifications/cancelled' || this.#isOfCall(relatedRequestId)
    if (relatedRequestId === undefined && !isOfSomeCall(notification)) this.#announce(notification)
    else if (isForCall) return this.#call?.onNotification(notification, relatedRequestId)
    return undefined
  }
}

function isOfSomeCall ({ method }: JSONRPCNotification): boolean {
  return method === 'notifications/progress' || method === 'notifications/message' ||
    method === 'notifications/cancelled'
}

function hasHandler (server: Server1, method: string): boolean {
  if (server.fallbackRequestHandler !== undefined) return true
  try {
    server.assertCanSetRequestHandler(method)
    return false
  } catch {
    return true
  }
}
