import { AsyncLocalStorage } from 'node:async_hooks'
import type { RequestId } from '@modelcontextprotocol/server'
import type { CallerInfo } from '../../caller.js'

/** A request of a session, as the log names it. */
export interface ServedRequest {
  /** What the log calls the HTTP request. */
  readonly requestId: string | undefined
  readonly caller: CallerInfo
}

const serving = new AsyncLocalStorage<{ requests: ServedRequests, request: ServedRequest }>()

/**
 * Which of a session's requests the server works on, for what it logs. Requests that run beside another one are told
 * apart by their asynchronous context. One that runs alone needs none: contexts cost time, in some versions of Node.js
 * for everything that the process awaits once there is the first.
 */
export class ServedRequests {
  /** Whether the server has taken the log: else nobody asks. */
  isLogged = false
  /** The request without a context, or the last one. */
  #alone: ServedRequest
  readonly #running = new Set<RequestId>()

  constructor (caller: CallerInfo) {
    this.#alone = { requestId: undefined, caller }
  }

  /** The one that is worked on now. */
  get current (): ServedRequest {
    const found = serving.getStore()
    return found?.requests === this ? found.request : this.#alone
  }

  /** An HTTP request has come for the server. */
  came (request: ServedRequest): void {
    if (this.#running.size === 0) this.#alone = request
  }

  /** Passes a request to the server. */
  serve (id: RequestId, request: ServedRequest, pass: () => void): void {
    if (!this.isLogged) {
      pass()
      return
    }
    this.came(request)
    this.#running.add(id)
    const { requestId, caller } = this.#alone
    if (request.caller === caller && request.requestId === requestId) pass()
    else serving.run({ requests: this, request }, pass)
  }

  /** A request has its response, or gets none. */
  ended (id: RequestId): void {
    this.#running.delete(id)
  }

  /** The server is gone. */
  clear (): void {
    this.#running.clear()
  }
}
