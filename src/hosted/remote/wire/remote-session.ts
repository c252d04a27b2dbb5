import type { JSONRPCMessage, JSONRPCRequest } from '@modelcontextprotocol/server'
import { getMember, isObject } from '../../../members.js'

type Params = Record<string, unknown>

/** What a remote server knows of us: its session's id, and what has to be told once more if it forgets. */
export class RemoteSession {
  id: string | undefined
  /** The result of `initialize`. */
  result: Params | undefined
  #params: Params | undefined
  #version: string | undefined
  #logLevel: unknown
  readonly #subscriptions = new Set<string>()

  /** Those that belong to every request of the session. */
  get headers (): Record<string, string> {
    return {
      ...this.id !== undefined && { 'mcp-session-id': this.id },
      ...this.#version !== undefined && { 'mcp-protocol-version': this.#version }
    }
  }

  begun (params: Params | undefined, result: Params): void {
    this.#params = params ?? {}
    this.result = result
    if (typeof result.protocolVersion === 'string') this.#version = result.protocolVersion
  }

  /** A request has succeeded that changes the session. */
  changed ({ method, params }: JSONRPCRequest): void {
    if (method === 'logging/setLevel') this.#logLevel = getMember(params, 'level')
    const uri = getMember(params, 'uri')
    if (typeof uri !== 'string') return
    if (method === 'resources/subscribe') this.#subscriptions.add(uri)
    if (method === 'resources/unsubscribe') this.#subscriptions.delete(uri)
  }

  /** What begins a session that is like this one. */
  replay (): JSONRPCMessage[] {
    const ask = (name: string, method: string, params: Params): JSONRPCMessage =>
      ({ jsonrpc: '2.0', id: `again.${name}`, method, params: isObject(params) ? params : {} })
    return [
      ask('initialize', 'initialize', this.#params ?? {}),
      { jsonrpc: '2.0', method: 'notifications/initialized' },
      ...this.#logLevel === undefined ? [] : [ask('level', 'logging/setLevel', { level: this.#logLevel })],
      ...[...this.#subscriptions].map((uri, index) => ask(String(index), 'resources/subscribe', { uri }))
    ]
  }
}
