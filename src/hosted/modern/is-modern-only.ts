import { jsonRpcCodes } from '../../json-rpc-codes.js'
import { getMember } from '../../members.js'
import { REVISION_2026_07_28 } from '../../mcp/wire/protocol-versions.js'
import type { HostedError } from '../wire/hosted-error.js'

/** Whether an error response to `initialize` says that a server knows none, since it is of 2026-07-28. */
export function isModernOnly (error: HostedError['rpcError']): boolean {
  if (error === undefined) return false
  const supported = getMember(error.data, 'supported')
  return error.code === jsonRpcCodes.unsupportedProtocolVersion || error.code === jsonRpcCodes.methodNotFound ||
    (Array.isArray(supported) && supported.includes(REVISION_2026_07_28))
}
