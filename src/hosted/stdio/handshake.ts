import type { JSONRPCRequest, RequestId } from '@modelcontextprotocol/server'
import { isObject } from '../../members.js'
import type { JsonRpcResponse } from '../../mcp/wire/messages.js'
import type { Channel } from './channel.js'

/** The one handshake that a server has, for all who share it. */
export class Handshake {
  /** The request's id at the server; undefined: none was made. */
  #id: RequestId | undefined
  #response: JsonRpcResponse | undefined
  readonly #waiting: Array<{ channel: Channel, id: RequestId }> = []
  #isComplete = false
  readonly #isForAll: boolean

  /** @param isForAll whether several people share the server */
  constructor (isForAll: boolean) {
    this.#isForAll = isForAll
  }

  get hasResult (): boolean {
    return this.#response !== undefined && 'result' in this.#response
  }

  /**
   * A client asks. @returns the request that the server must get; undefined if it has had one
   */
  ask (channel: Channel, { id, params }: JSONRPCRequest, newId: RequestId): JSONRPCRequest | undefined {
    this.#waiting.push({ channel, id })
    if (this.#response !== undefined) this.#respond(this.#response)
    if (this.#id !== undefined) return undefined
    this.#id = newId
    // what one person's client can do, a server that serves all must not ask of another's
    const declared = this.#isForAll ? { ...params, capabilities: {} } : params
    return { jsonrpc: '2.0', id: newId, method: 'initialize', ...declared !== undefined && { params: declared } }
  }

  /** Takes the server's response. @returns false if it is to another request */
  take (response: JsonRpcResponse): boolean {
    if (this.#response !== undefined || response.id !== this.#id) return false
    this.#response = this.#isForAll ? withoutTasks(response) : response
    this.#respond(this.#response)
    return true
  }

  /** A client is ready. @returns whether the server does not know yet that it is initialized */
  complete (): boolean {
    const isFirst = !this.#isComplete
    this.#isComplete = true
    return isFirst
  }

  leave (channel: Channel): void {
    const index = this.#waiting.findIndex(waiting => waiting.channel === channel)
    if (index !== -1) this.#waiting.splice(index, 1)
  }

  /** There will be no response. */
  fail (message: string): void {
    for (const { channel, id } of this.#waiting.splice(0)) channel.fail(id, message)
  }

  #respond (response: JsonRpcResponse): void {
    for (const { channel, id } of this.#waiting.splice(0)) channel.deliver({ ...response, id })
  }
}

/** Everybody could list them. */
function withoutTasks (response: JsonRpcResponse): JsonRpcResponse {
  if (!('result' in response) || !isObject(response.result.capabilities)) return response
  const { tasks, ...capabilities } = response.result.capabilities
  return { ...response, result: { ...response.result, capabilities } }
}
