import type { JSONRPCNotification, JSONRPCRequest, ProgressToken, RequestId } from '@modelcontextprotocol/server'
import { BoundedMap } from '../../collections/bounded-map.js'
import { isObject } from '../../members.js'
import type { JsonRpcResponse } from '../../mcp/wire/messages.js'
import type { Channel } from './channel.js'

/** A request that the server has. */
export interface RunningCall {
  channel: Channel
  /** What its client calls it. */
  id: RequestId
  method: string
  params: Record<string, unknown> | undefined
}

interface Progress {
  channel: Channel
  id: RequestId
  token: ProgressToken
}

export const CLIENT_GONE = 'The client has gone.'
const MAX_TASKS = 1000

/** The requests that several clients have made of one server, under ids and progress tokens of its own. */
export class RunningCalls {
  #nextId = 0
  /** The one begun last at the end. */
  readonly #calls = new Map<RequestId, RunningCall>()
  readonly #progress = new Map<RequestId, Progress>()
  /** Tasks report progress after the response to the request that began them. */
  readonly #ofTasks = new BoundedMap<RequestId, Progress>(MAX_TASKS)

  /** The request as the server gets it. */
  begin (channel: Channel, { id, method, params }: JSONRPCRequest): JSONRPCRequest {
    const ownId = this.#nextId++
    this.#calls.set(ownId, { channel, id, method, params })
    const token = params?._meta?.progressToken
    if (token === undefined) return { jsonrpc: '2.0', id: ownId, method, ...params !== undefined && { params } }
    this.#progress.set(ownId, { channel, id, token })
    const _meta = { ...params?._meta, progressToken: ownId }
    return { jsonrpc: '2.0', id: ownId, method, params: { ...params, _meta } }
  }

  /** An id for a request that no client has made. */
  newId (): RequestId {
    return this.#nextId++
  }

  /** Takes the call that a response is to. @returns undefined if it was cancelled, or never made */
  end (response: JsonRpcResponse): RunningCall | undefined {
    const { id } = response
    const call = id === undefined ? undefined : this.#calls.get(id)
    if (id === undefined || call === undefined) return undefined
    this.#calls.delete(id)
    const progress = this.#progress.get(id)
    this.#progress.delete(id)
    const isTask = 'result' in response && isObject(response.result.task)
    if (progress !== undefined && isTask) this.#ofTasks.set(id, progress)
    return call
  }

  /** Takes a call of a client. @returns its id at the server; undefined if it does not run */
  cancel (channel: Channel, id: unknown): RequestId | undefined {
    for (const [ownId, call] of this.#calls) {
      if (call.channel !== channel || call.id !== id) continue
      this.#calls.delete(ownId)
      this.#progress.delete(ownId)
      return ownId
    }
    return undefined
  }

  /** The call with an id at the server. */
  find (ownId: RequestId): RunningCall | undefined {
    return this.#calls.get(ownId)
  }

  findProgress (token: unknown): Progress | undefined {
    return typeof token === 'number' ? this.#progress.get(token) ?? this.#ofTasks.get(token) : undefined
  }

  /** The call that was begun last. */
  get last (): RunningCall | undefined {
    return [...this.#calls.values()].at(-1)
  }

  /** The last call of a client. */
  lastOf (channel: Channel): RunningCall | undefined {
    return [...this.#calls.values()].findLast(call => call.channel === channel)
  }

  /** The clients that have calls. */
  get channels (): Set<Channel> {
    return new Set([...this.#calls.values()].map(({ channel }) => channel))
  }

  /** Takes the calls of a client. @returns what cancels them */
  leave (channel: Channel): JSONRPCNotification[] {
    const ids = [...this.#calls].filter(([, call]) => call.channel === channel).map(([id]) => id)
    for (const id of ids) {
      this.#calls.delete(id)
      this.#progress.delete(id)
    }
    for (const [id, progress] of this.#ofTasks) if (progress.channel === channel) this.#ofTasks.delete(id)
    return ids.map(requestId => ({
      jsonrpc: '2.0',
      method: 'notifications/cancelled',
      params: { requestId, reason: CLIENT_GONE }
    }))
  }

  /** Takes all. */
  * takeAll (): Iterable<RunningCall> {
    const calls = [...this.#calls.values()]
    this.#calls.clear()
    this.#progress.clear()
    this.#ofTasks.clear()
    yield * calls
  }
}
