import type { JSONRPCNotification, JSONRPCRequest, RequestId } from '@modelcontextprotocol/server'
import type { CallerInfo } from '../../caller.js'
import type { SdkServer } from '../sdk-servers.js'
import type { JsonRpcResponse } from '../wire/messages.js'
import type { Guard, TaskOrigins } from './guard.js'

/** What one server instance responds, as far as the callers of its requests may know of it. */
export class GuardedResponses {
  readonly #guard: Guard
  readonly #tasks: TaskOrigins
  /** Requests that run, and who has made them. */
  readonly #running = new Map<RequestId, { request: JSONRPCRequest, caller: CallerInfo }>()
  #server: SdkServer | undefined

  constructor (guard: Guard, tasks: TaskOrigins) {
    this.#guard = guard
    this.#tasks = tasks
  }

  /** Sets the server that responds. */
  madeBy (server: SdkServer): void {
    this.#server = server
  }

  /** Notes what the server says of itself. */
  initialized (result: Record<string, unknown>): void {
    this.#guard.initialized(result)
  }

  /** Notes a request that the server gets. */
  asked (request: JSONRPCRequest, caller: CallerInfo): void {
    this.#running.set(request.id, { request, caller })
  }

  /** Notes that the server will not respond to a request. */
  cancelled (id: RequestId): void {
    this.#running.delete(id)
  }

  /** @returns the response as the caller may know it */
  answered (response: JsonRpcResponse): JsonRpcResponse {
    const running = response.id === undefined ? undefined : this.#running.get(response.id)
    if (response.id === undefined || running === undefined) return response
    this.#running.delete(response.id)
    if (running.request.method === 'initialize' && 'result' in response) this.initialized(response.result)
    const { request, caller } = running
    return this.#guard.toVisible(request, response, { caller, server: this.#server, tasks: this.#tasks })
  }

  /** Whether a caller may get a notification of the server. */
  mayReceive (notification: Pick<JSONRPCNotification, 'method' | 'params'>, caller: CallerInfo): boolean {
    return this.#guard.mayReceive(notification, { caller, server: this.#server })
  }
}
