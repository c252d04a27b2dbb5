import type { JSONRPCMessage, JSONRPCRequest, Transport } from '@modelcontextprotocol/server'
import type { ServerContext } from '../../mcp/create-server.js'
import { isRequest } from '../../mcp/wire/messages.js'
import { REVISION_2025_11_25 } from '../../mcp/wire/protocol-versions.js'
import { packageVersion } from '../../version.js'
import type { HostedExtra } from '../piped-server.js'
import type { ConnectionUser, RemoteConnection } from './connection.js'
import { toRpcError } from '../wire/hosted-error.js'
import type { BelongsTo } from '../wire/wire.js'

type Params = Record<string, unknown>

/** Where a link gets its connection from, and leaves it. */
export interface ConnectionSource {
  take (link: RemoteLink, params: Params): RemoteConnection
  leave (link: RemoteLink, connection: RemoteConnection | undefined): void
}

/** Of requests without a session, whose client is not known. */
const UNKNOWN_CLIENT = {
  protocolVersion: REVISION_2025_11_25,
  capabilities: {},
  clientInfo: { name: 'fastify-mcp-oauth', version: packageVersion() }
}

/** The transport that leads to a remote server: it begins with `initialize`, and ends as its client does. */
export class RemoteLink implements Transport, ConnectionUser {
  onmessage?: NonNullable<Transport['onmessage']>
  onclose?: () => void
  onerror?: (error: Error) => void
  readonly context: ServerContext
  /** Whom the connection is for. */
  readonly key: string
  readonly #source: ConnectionSource
  #connection: RemoteConnection | undefined
  #beginning: Promise<RemoteConnection> | undefined
  #isClosed = false

  constructor (source: ConnectionSource, context: ServerContext, key: string) {
    this.#source = source
    this.context = context
    this.key = key
  }

  async start (): Promise<void> {}

  async send (message: JSONRPCMessage): Promise<void> {
    if (this.#isClosed) throw new Error('The connection was closed.')
    if (isRequest(message) && message.method === 'initialize') await this.#initialize(message)
    else {
      this.#beginning ??= this.#begin(UNKNOWN_CLIENT, true)
      const connection = await this.#beginning
      if ('method' in message && message.method === 'notifications/initialized') await connection.initialized()
      else await connection.send(message)
    }
  }

  async received (message: JSONRPCMessage, of: BelongsTo): Promise<void> {
    let taken: Promise<void> | undefined
    const extra: HostedExtra = { ...of, onTaken: promise => { taken = promise } }
    this.onmessage?.(message, extra)
    await taken
  }

  lost (): void {
    this.#isClosed = true
    this.onclose?.()
  }

  async close (): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#source.leave(this, this.#connection)
  }

  async #initialize ({ id, params = {} }: JSONRPCRequest): Promise<void> {
    this.#beginning = this.#begin(params, false)
    try {
      const connection = await this.#beginning
      await this.received({ jsonrpc: '2.0', id, result: await connection.initialize(params) }, {})
    } catch (error) {
      this.context.log.warn({ err: error }, 'a remote server does not take the connection')
      await this.received({ jsonrpc: '2.0', id, error: toRpcError(error) }, {})
    }
  }

  /** @param isAlone whether there is no client that says that it is ready */
  async #begin (params: Params, isAlone: boolean): Promise<RemoteConnection> {
    const connection = this.#source.take(this, params)
    this.#connection = connection
    connection.attach(this)
    await connection.initialize(params)
    if (isAlone) await connection.initialized()
    return connection
  }
}
