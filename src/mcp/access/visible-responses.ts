import type { JSONRPCNotification, JSONRPCRequest, RequestId } from '@modelcontextprotocol/server'
import type { CallerInfo } from '../../caller.js'
import type { SdkServer } from '../sdk-servers.js'
import type { OwnTasks } from '../tasks/own-tasks.js'
import type { JsonRpcResponse } from '../wire/messages.js'
import type { Guard } from './guard.js'

/** What one server instance says, as far as the callers of its requests may know of it. */
export class VisibleResponses {
  readonly #guard: Guard | undefined
  readonly #tasks: OwnTasks
  /** Requests that run whose responses are looked at, and who has made them. */
  readonly #running = new Map<RequestId, { request: JSONRPCRequest, caller: CallerInfo | undefined }>()
  #server: SdkServer | undefined

  /** @param guard asks the policy; undefined: there is none */
  constructor (guard: Guard | undefined, tasks: OwnTasks) {
    this.#guard = guard
    this.#tasks = tasks
  }

  /** Sets the server that responds. */
  madeBy (server: SdkServer): void {
    this.#server = server
    this.#tasks.madeBy(server)
  }

  /** Notes what the server says of itself. */
  initialized (result: Record<string, unknown>): void {
    this.#guard?.initialized(result)
  }

  /** Notes a request that the server gets. */
  asked (request: JSONRPCRequest, caller: CallerInfo | undefined): void {
    if (this.#guard === undefined && !this.#tasks.concerns(request)) return
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
    const { request, caller } = running
    return this.#tasks.answered(request, caller, this.#toVisible(request, caller, response))
  }

  /** Whether a caller may get a notification of the server. */
  mayReceive (notification: Pick<JSONRPCNotification, 'method' | 'params'>, caller: CallerInfo): boolean {
    return this.#guard?.mayReceive(notification, { caller, server: this.#server }) ?? true
  }

  #toVisible (
    request: JSONRPCRequest,
    caller: CallerInfo | undefined,
    response: JsonRpcResponse
  ): JsonRpcResponse {
    if (this.#guard === undefined) return response
    if (request.method === 'initialize' && 'result' in response) this.initialized(response.result)
    return this.#guard.toVisible(request, response, { caller, server: this.#server, tasks: this.#tasks })
  }
}
