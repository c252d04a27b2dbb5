import type { JSONRPCMessage } from '@modelcontextprotocol/server'
import { isTooDeep } from '../../../mcp/wire/json-depth.js'
import { isMessage } from '../../../mcp/wire/messages.js'
import { RemoteError } from './remote-error.js'

/** Messages of a body or an event. @throws {RemoteError} for anything else */
export function parseRemoteMessages (text: string): JSONRPCMessage[] {
  if (isTooDeep(text)) throw new RemoteError('it sends JSON that is nested too deeply', { isLasting: true })
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    throw new RemoteError('it sends invalid JSON', { isLasting: true, cause })
  }
  const messages = Array.isArray(value) ? value : [value]
  if (!messages.every(isMessage)) {
    throw new RemoteError('it sends what is not a JSON-RPC 2.0 message', { isLasting: true })
  }
  return messages
}
