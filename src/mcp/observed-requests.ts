import type { JSONRPCMessage, JSONRPCRequest, RequestId, Server } from '@modelcontextprotocol/server'
import { ForbiddenCallError, McpRequestError } from '../errors.js'
import { jsonRpcCodes } from '../json-rpc-codes.js'
import {
  classifyEnd,
  type InboundHttp,
  type McpObserver,
  type ObservedRequest,
  type RequestEnd,
  type RequestOutcome
} from './observer.js'
import type { MessageExtra } from './transport/message-extra.js'
import { isRequest } from './wire/messages.js'

/** A request that a server has, for an observer. */
export class RunningRequest {
  readonly #observer: McpObserver
  readonly #observed: ObservedRequest
  readonly #begun = performance.now()
  #onEnd: ((end: RequestEnd) => void) | undefined
  /** How it ended, if the observer has not returned yet. */
  #early: RequestEnd | undefined

  constructor (observer: McpObserver, observed: ObservedRequest) {
    this.#observer = observer
    this.#observed = observed
  }

  /** @param run passes it to the server */
  run (run: () => void): void {
    if (this.#observer.request === undefined) {
      run()
      return
    }
    this.#onEnd = this.#observer.request(this.#observed, run)
    if (this.#early !== undefined) this.#onEnd(this.#early)
  }

  /** @param text the response as it was sent */
  end (end: RequestEnd, text?: string): void {
    const { http } = this.#observed
    if (http !== undefined) noteOutcome(http, classifyEnd(end))
    this.#observer.ended?.(this.#observed, end, performance.now() - this.#begun, text)
    if (this.#onEnd === undefined) this.#early = end
    else this.#onEnd(end)
  }
}

/** The requests that run at one server, for an observer. */
export class ObservedRequests {
  readonly #observer: McpObserver
  readonly #running = new Map<RequestId, RunningRequest>()

  constructor (observer: McpObserver) {
    this.#observer = observer
  }

  run (observed: ObservedRequest, run: () => void): void {
    const running = new RunningRequest(this.#observer, observed)
    this.#running.set(observed.request.id, running)
    running.run(run)
  }

  end (id: RequestId | undefined, end: RequestEnd): void {
    this.take(id)?.end(end)
  }

  /** Takes a request from those that run: its `end` must be called once it has ended. */
  take (id: RequestId | undefined): RunningRequest | undefined {
    const running = id === undefined ? undefined : this.#running.get(id)
    if (id !== undefined && running !== undefined) this.#running.delete(id)
    return running
  }

  /** Notes a request that the policy refuses. */
  deny (observed: ObservedRequest): void {
    observeDenial(this.#observer, observed)
  }

  /** Notes that the running requests end without a response. */
  close (): void {
    for (const id of [...this.#running.keys()]) this.end(id, 'closed')
  }
}

/**
 * Observes a request that is served by a promise.
 * @param serve returns its result, or rejects
 */
export async function observeResult<T extends Record<string, unknown>> (
  observer: McpObserver | undefined,
  observed: ObservedRequest,
  serve: () => Promise<T>
): Promise<T> {
  if (observer === undefined) return await serve()
  const running = new RunningRequest(observer, observed)
  let serving: Promise<T> | undefined
  running.run(() => { serving = serve() })
  const { id } = observed.request
  try {
    const result = await (serving ?? serve())
    running.end({ jsonrpc: '2.0', id, result }, JSON.stringify(result))
    return result
  } catch (error) {
    const [code, message] = error instanceof McpRequestError
      ? [error.jsonRpcCode, error.message]
      : [jsonRpcCodes.internalError, 'Internal error']
    running.end({ jsonrpc: '2.0', id, error: { code, message } })
    throw error
  }
}

/** Says that the policy has refused a request: its client may have been told that there is nothing of that name. */
export function observeDenial (observer: McpObserver, observed: ObservedRequest): void {
  if (observed.http !== undefined) noteOutcome(observed.http, 'refused')
  observer.denied?.({ ...observed, error: new ForbiddenCallError('The policy refuses the call.') })
}

function noteOutcome (http: InboundHttp, outcome: RequestOutcome | 'refused'): void {
  if (http.mcpOutcome == null || http.mcpOutcome === 'ok') http.mcpOutcome = outcome
}

/** What observers are told of a request of the revisions up to 2025-11-25. */
export function describeRequest (
  request: JSONRPCRequest,
  extra: MessageExtra,
  sessionId: string | undefined
): ObservedRequest {
  const { authInfo: caller, http } = extra
  const protocolVersion = findProtocolVersion(extra)
  const observed: ObservedRequest = { request, era: 'legacy' }
  if (sessionId !== undefined) observed.sessionId = sessionId
  if (protocolVersion !== undefined) observed.protocolVersion = protocolVersion
  if (caller !== undefined) observed.caller = caller
  if (http !== undefined) observed.http = http
  return observed
}

/** The revision that the client's HTTP request names. */
function findProtocolVersion ({ requestInfo }: MessageExtra): string | undefined {
  const version = requestInfo?.headers['mcp-protocol-version']
  return typeof version === 'string' ? version : undefined
}

const observed = new WeakSet<Server>()

/**
 * Observes the requests to a server of SDK 2.x, from its next connection on. A connection serves one request.
 * @param about what is known of that request
 */
export function observeServer (
  server: Server,
  observer: McpObserver,
  about: () => Omit<ObservedRequest, 'request'>
): void {
  if (observed.has(server)) return
  observed.add(server)
  const connect = server.connect.bind(server)
  server.connect = async transport => {
    const requests = new ObservedRequests(observer)
    const known = about()
    const send = transport.send.bind(transport)
    transport.send = async (message, options) => {
      if (!('method' in message)) requests.end(message.id, message)
      await send(message, options)
    }
    await connect(transport)
    const { onmessage, onclose } = transport
    transport.onmessage = (message: JSONRPCMessage, extra) => {
      if (isRequest(message)) requests.run({ ...known, request: message }, () => { onmessage?.(message, extra) })
      else onmessage?.(message, extra)
    }
    transport.onclose = () => {
      requests.close()
      onclose?.()
    }
  }
}
