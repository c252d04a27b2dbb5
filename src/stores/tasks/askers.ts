import type { JSONRPCErrorResponse, JSONRPCRequest, RequestId } from '@modelcontextprotocol/server'

/** A server instance of this process, whose tasks may ask the client of its session. */
export interface TaskAsker {
  /**
   * Gives a request the id that it has on the wire: whichever replica sends it, the response comes here.
   * @throws {Error} if too many requests wait for the client
   */
  expect (request: JSONRPCRequest): JSONRPCRequest
  /** Expects no response with this id any longer. */
  withdraw (id: RequestId): void
  /** Passes a response to the instance that expects it, here or on another replica. */
  settle (response: JSONRPCErrorResponse): void
}

/*
 * A queue of messages serves all instances of a process, and is told the session alone. One process has one instance
 * for it, unless several replicas are in one process. Then the one that asks is the one whose transport was asked for
 * its session id last: SDK 1.x does that as it queues a request (`_enqueueTaskMessage`), in the same turn.
 * What breaks, if an SDK no longer does: only with several replicas in one process, requests wait for a `tasks/result`
 * at the process that queued them (test/replicas/asking-tasks.test.ts).
 */
class TaskAskers {
  /** By session id, then by the transport of the instance. */
  readonly #askers = new Map<string, Map<object, TaskAsker>>()
  #lastRead: object | undefined

  /** An instance begins to serve a session. */
  add (sessionId: string, transport: object, asker: TaskAsker): void {
    const ofSession = this.#askers.get(sessionId) ?? new Map<object, TaskAsker>()
    this.#askers.set(sessionId, ofSession.set(transport, asker))
  }

  remove (sessionId: string, transport: object): void {
    const ofSession = this.#askers.get(sessionId)
    ofSession?.delete(transport)
    if (ofSession?.size === 0) this.#askers.delete(sessionId)
    if (this.#lastRead === transport) this.#lastRead = undefined
  }

  /** Notes that somebody asks a transport for its session id. */
  readBy (transport: object): void {
    this.#lastRead = transport
  }

  /** The instance that queues a request now; undefined if that is not known. */
  find (sessionId: string): TaskAsker | undefined {
    const ofSession = this.#askers.get(sessionId)
    const last = this.#lastRead === undefined ? undefined : ofSession?.get(this.#lastRead)
    return last ?? (ofSession?.size === 1 ? this.findAny(sessionId) : undefined)
  }

  /** Any instance that serves a session here. */
  findAny (sessionId: string): TaskAsker | undefined {
    const [any] = this.#askers.get(sessionId)?.values() ?? []
    return any
  }
}

/** Those of this process. */
export const taskAskers = new TaskAskers()

const queued = new WeakSet<object>()

/** Notes that a request comes from a queue, with the id that it has on the wire. */
export function markQueued (request: JSONRPCRequest): void {
  queued.add(request)
}

/** Whether a request comes from a queue, with the id that it has on the wire. */
export function isQueued (request: JSONRPCRequest): boolean {
  return queued.has(request)
}
