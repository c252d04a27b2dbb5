import type { JSONRPCMessage, JSONRPCRequest, RequestId, Transport } from '@modelcontextprotocol/server'
import { InitializeFailedError, ServiceError } from '../../errors.js'
import { jsonRpcCodes } from '../../json-rpc-codes.js'
import type { Log } from '../../log.js'
import { findRefusal, toRefusalResponse } from '../../mcp/transport/refusal-responses.js'
import { isRequest, type JsonRpcResponse } from '../../mcp/wire/messages.js'
import { REVISION_2025_11_25 } from '../../mcp/wire/protocol-versions.js'
import type { HostedExtra, ResumableTransport } from '../piped-server.js'
import { saysRootsChanged, withoutRoots } from './roots.js'

/** The server that channels lead to. */
export interface ChannelServer {
  /** Begins to serve a channel, and responds to its `initialize`. */
  join (channel: Channel, initialize: JSONRPCRequest): void
  /** @throws {Error} if the server cannot get the message */
  receive (channel: Channel, message: JSONRPCMessage): void
  leave (channel: Channel): void
}

/**
 * Finds or makes the server for a client, by what that says in `initialize`.
 * @param isResumed whether the session had one before
 */
export type FindServer = (params: Record<string, unknown>, isResumed: boolean) => Promise<ChannelServer>

const OWN_ID = 'fastify-mcp-oauth-initialize'
const HANDSHAKE: JSONRPCRequest = {
  jsonrpc: '2.0',
  id: OWN_ID,
  method: 'initialize',
  params: {
    protocolVersion: REVISION_2025_11_25,
    capabilities: {},
    clientInfo: { name: 'fastify-mcp-oauth', version: '1' }
  }
}

/** One session's, or one request's, way to a server that others may use too. */
export class Channel implements ResumableTransport {
  onmessage?: Transport['onmessage']
  onclose?: () => void
  onerror?: (error: Error) => void
  /** Names whom it serves. */
  readonly log: Log
  /** Whether the server learns the roots of the client. */
  readonly passesRoots: boolean
  readonly #find: FindServer
  #server: ChannelServer | undefined
  #isResumed = false
  #beginning: Promise<void> | undefined
  #begun: ((response: JsonRpcResponse) => void) | undefined
  #isClosed = false

  constructor (find: FindServer, log: Log, passesRoots: boolean) {
    this.#find = find
    this.log = log
    this.passesRoots = passesRoots
  }

  async start (): Promise<void> {}

  resumes (): void {
    this.#isResumed = true
  }

  async send (message: JSONRPCMessage): Promise<void> {
    if (this.#isClosed) throw new Error('the connection is closed')
    if (!this.passesRoots && saysRootsChanged(message)) return
    if (this.#server !== undefined) this.#server.receive(this, message)
    else if (isRequest(message) && message.method === 'initialize') {
      await this.#begin(this.passesRoots ? message : withoutRoots(message))
    } else await this.#beginWithout(message)
  }

  /** Passes a message of the server to the client. */
  deliver (message: JSONRPCMessage, extra: HostedExtra = {}): void {
    if (!('method' in message) && message.id === OWN_ID) this.#begun?.(message)
    else if (!this.#isClosed) this.onmessage?.(message, extra)
  }

  fail (id: RequestId, message: string, code: number = jsonRpcCodes.serverError): void {
    this.deliver({ jsonrpc: '2.0', id, error: { code, message } })
  }

  async close (): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#server?.leave(this)
    this.onclose?.()
  }

  /** The server has gone. */
  lost (): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.onclose?.()
  }

  /** Without sessions, a request comes without a handshake before it. */
  async #beginWithout (message: JSONRPCMessage): Promise<void> {
    this.#beginning ??= new Promise((resolve, reject) => {
      this.#begun = response => {
        if ('error' in response) reject(findRefusal(response) ?? new Error(response.error.message))
        else resolve()
      }
      this.#begin(HANDSHAKE).catch(reject)
    })
    await this.#beginning
    this.#server?.receive(this, { jsonrpc: '2.0', method: 'notifications/initialized' })
    this.#server?.receive(this, message)
  }

  async #begin (initialize: JSONRPCRequest): Promise<void> {
    let server
    try {
      server = await this.#find(initialize.params ?? {}, this.#isResumed)
    } catch (error) {
      this.deliver(toRefusalResponse(this.#toKnown(error), initialize.id))
      return
    }
    if (this.#isClosed) return
    this.#server = server
    server.join(this, initialize)
  }

  /** What a client may know of an error: the rest names folders of this machine, or worse. */
  #toKnown (error: unknown): ServiceError {
    if (error instanceof ServiceError) return error
    this.log.error({ err: error }, 'a hosted server could not be started')
    return new InitializeFailedError('The hosted server could not be started.')
  }
}
