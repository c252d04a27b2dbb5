import type { JSONRPCMessage } from '@modelcontextprotocol/server'
import { isMessage } from '../../../mcp/wire/messages.js'
import { RemoteError } from './remote-error.js'

/** Messages of a body or an event. @throws {RemoteError} for anything else */
export function parseRemoteMessages (text: string): JSONRPCMessage[] {
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
