import type { JSONRPCMessage, JSONRPCRequest, RequestId, Server } from '@modelcontextprotocol/server'
import type { LimitName } from '../errors.js'
import { isRequest, type JsonRpcResponse } from './wire/messages.js'
import type { MessageExtra } from './transport/message-extra.js'

/** A request of a client that a server is asked to answer. */
export interface ObservedRequest {
  request: JSONRPCRequest
  /** Absent where there is no session. */
  sessionId?: string
  protocolVersion?: string
}

/** How a request ended: with the answer, or without one. `closed`: the server, or the connection it was made for, has gone. */
export type RequestEnd = JsonRpcResponse | 'cancelled' | 'closed'

/** What this process has to do with now. */
export interface McpCounts {
  sessions: number
  instances: number
  streams: number
}

/** Hears of what servers are asked. What it does, it does for every call: let it be little. */
export interface McpObserver {
  /**
   * Hands a request to the server: calls `run` once, before it returns.
   * @returns hears how the request ended
   */
  request (observed: ObservedRequest, run: () => void): (end: RequestEnd) => void
  /** A limit has refused a request. */
  refused? (limit: LimitName): void
  /** Takes what tells the counts of a process whenever it is asked. */
  counts? (read: () => McpCounts): void
}

/** How a request ended, in a word. `tool_error`: a tool answered that it failed. */
export type RequestOutcome = 'ok' | 'tool_error' | 'error' | 'cancelled' | 'closed'

export function classifyEnd (end: RequestEnd): RequestOutcome {
  if (typeof end === 'string') return end
  if ('error' in end) return 'error'
  return end.result.isError === true ? 'tool_error' : 'ok'
}

/** Several observers as one. */
export function observeTogether (observers: readonly McpObserver[]): McpObserver {
  const request: McpObserver['request'] = (observed, run) => {
    const ends: Array<(end: RequestEnd) => void> = []
    const runAll = observers.reduceRight((inner, observer) => () => {
      ends.push(observer.request(observed, inner))
    }, run)
    runAll()
    return end => { for (const hear of ends) hear(end) }
  }
  return {
    request,
    refused: limit => { for (const observer of observers) observer.refused?.(limit) },
    counts: read => { for (const observer of observers) observer.counts?.(read) }
  }
}

/** The requests that run at one server, for an observer. */
export class ObservedRequests {
  readonly #observer: McpObserver
  readonly #about: Omit<ObservedRequest, 'request'>
  readonly #running = new Map<RequestId, (end: RequestEnd) => void>()

  constructor (observer: McpObserver, about: Omit<ObservedRequest, 'request'>) {
    this.#observer = observer
    this.#about = about
  }

  run (request: JSONRPCRequest, protocolVersion: string | undefined, run: () => void): void {
    // the answer may come before the observer has returned
    let early: RequestEnd | undefined
    this.#running.set(request.id, end => {
      early = end
    })
    const hear = this.#observer.request({
      ...this.#about,
      request,
      ...protocolVersion !== undefined && { protocolVersion }
    }, run)
    if (early !== undefined) hear(early)
    else this.#running.set(request.id, hear)
  }

  end (id: RequestId | undefined, end: RequestEnd): void {
    const hear = id === undefined ? undefined : this.#running.get(id)
    if (id === undefined || hear === undefined) return
    this.#running.delete(id)
    hear(end)
  }

  /** Notes what ends without an answer. */
  close (): void {
    for (const id of [...this.#running.keys()]) this.end(id, 'closed')
  }
}

/** What the client says it speaks, where HTTP carried the message. */
export function findProtocolVersion ({ requestInfo }: MessageExtra): string | undefined {
  const version = requestInfo?.headers['mcp-protocol-version']
  return typeof version === 'string' ? version : undefined
}

const observed = new WeakSet<Server>()

/** Lets an observer hear of what a server of SDK 2.x is asked, from its next connection on. A connection is for one request. */
export function observeServer (server: Server, observer: McpObserver, protocolVersion: string): void {
  if (observed.has(server)) return
  observed.add(server)
  const connect = server.connect.bind(server)
  server.connect = async transport => {
    const requests = new ObservedRequests(observer, { protocolVersion })
    const send = transport.send.bind(transport)
    transport.send = async (message, options) => {
      if (!('method' in message)) requests.end(message.id, message)
      await send(message, options)
    }
    await connect(transport)
    const { onmessage, onclose } = transport
    transport.onmessage = (message: JSONRPCMessage, extra) => {
      if (isRequest(message)) requests.run(message, undefined, () => { onmessage?.(message, extra) })
      else onmessage?.(message, extra)
    }
    transport.onclose = () => {
      requests.close()
      onclose?.()
    }
  }
}
