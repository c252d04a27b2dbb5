import { McpServer, type JSONRPCMessage, type JSONRPCResultResponse, type RequestId, type Server, type Transport, type TransportSendOptions } from '@modelcontextprotocol/server'

/** One request, and what becomes of it. */
export interface ResultExchange {
  /**
   * What the server sees in place of the client's request id. With an id that was never used before, what an instance
   * still sends for an earlier request cannot be taken for this one's, whatever ids the clients choose.
   */
  requestId?: RequestId
  /** The server gets the request. */
  onRequest (): void
  /** Takes the result, where that is the whole answer. */
  onResult (result: JSONRPCResultResponse): void
  /** The server is disconnected. @param answered whether it has answered */
  onClose?: (answered: boolean) => void
}

const carried = new WeakMap<Server, ResultExchange>()

/** Lets the next connection of a server of SDK 2.x carry a request through a `ResultTransport`. */
export function carry (exchange: ResultExchange, plugged: McpServer | Server): void {
  const server = plugged instanceof McpServer ? plugged.server : plugged
  const known = carried.has(server)
  carried.set(server, exchange)
  if (known) return
  const connect = server.connect.bind(server)
  server.connect = async transport => { await connect(new ResultTransport(transport, carried.get(server) ?? exchange)) }
}

/**
 * Stands between a server of SDK 2.x and the SDK's own transport for one request. A result that is the whole answer
 * leaves the SDK here, rather than as a web `Response` that would have to be read back; all else passes.
 */
class ResultTransport implements Transport {
  onmessage?: NonNullable<Transport['onmessage']>
  onclose?: () => void
  onerror?: (error: Error) => void
  readonly #inner: Transport
  readonly #exchange: ResultExchange
  /** The request's id, as the client has it, and as the server sees it. */
  #clientId: RequestId | undefined
  #id: RequestId | undefined
  #streams = false
  #answered = false
  #closed = false

  constructor (inner: Transport, exchange: ResultExchange) {
    this.#inner = inner
    this.#exchange = exchange
    this.#id = exchange.requestId
  }

  async start (): Promise<void> {
    this.#inner.onmessage = (message, extra) => { this.onmessage?.(this.#received(message), extra) }
    this.#inner.onclose = () => { this.#disconnect() }
    this.#inner.onerror = error => { this.onerror?.(error) }
    await this.#inner.start()
  }

  async send (message: JSONRPCMessage, options?: TransportSendOptions): Promise<void> {
    const related = 'method' in message ? options?.relatedRequestId : message.id
    // of an earlier request, or of none: this transport has nobody else to tell
    if (this.#closed || related === undefined || related !== this.#id || this.#clientId === undefined) return
    if ('method' in message) {
      this.#streams = true
      await this.#inner.send(message, { relatedRequestId: this.#clientId })
      return
    }
    this.#answered = true
    const response = { ...message, id: this.#clientId }
    if (this.#streams || 'error' in response) {
      await this.#inner.send(response)
      return
    }
    this.#exchange.onResult(response)
    // not before the server is through with the request: it would cancel what has ended. The SDK's transport holds nothing
    // by now; to close it would have it make an error, and a response of that
    setImmediate(() => { this.#disconnect() })
  }

  async close (): Promise<void> {
    await this.#inner.close()
  }

  #disconnect (): void {
    if (this.#closed) return
    this.#closed = true
    this.onclose?.()
    this.#exchange.onClose?.(this.#answered)
  }

  #received<M extends JSONRPCMessage> (message: M): M {
    if (!('method' in message) || !('id' in message)) return message
    this.#clientId = message.id
    this.#exchange.onRequest()
    this.#id ??= message.id
    return this.#id === message.id ? message : { ...message, id: this.#id }
  }
}
