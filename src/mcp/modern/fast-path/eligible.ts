import { isJsonContentType, PROTOCOL_VERSION_META_KEY } from '@modelcontextprotocol/server'
import type { JSONRPCRequest } from '@modelcontextprotocol/sdk/types.js'
import type { InboundHeaders } from '../lazy-request.js'
import { REVISION_2026_07_28 } from '../../wire/protocol-versions.js'

/** Methods that the SDK's entry does nothing about by itself, and the parameter that `Mcp-Name` has to repeat. */
const NAMED_BY: ReadonlyMap<string, string | undefined> = new Map([
  ['tools/call', 'name'],
  ['prompts/get', 'name'],
  ['resources/read', 'uri'],
  ...['tools/list', 'prompts/list', 'resources/list', 'resources/templates/list', 'completion/complete'].map(method =>
    [method, undefined] as const
  )
])
/** What a name may begin with that `Mcp-Name` cannot carry as it is. */
const ENCODED = '=?'

/**
 * Whether a request is one that the SDK's entry hands to the server as it is: its headers are there, and say what the body
 * says. A look at them tells; where it does not, the entry is asked, and says what is wrong.
 */
export function isPlainCall ({ method, params }: JSONRPCRequest, headers: InboundHeaders): boolean {
  if (!NAMED_BY.has(method) || params?._meta?.[PROTOCOL_VERSION_META_KEY] !== REVISION_2026_07_28) return false
  if (
    headers['mcp-protocol-version'] !== REVISION_2026_07_28 || headers['mcp-method'] !== method ||
    !isJsonContentType(headers['content-type']?.toString())
  ) return false
  const parameter = NAMED_BY.get(method)
  if (parameter === undefined) return true
  const name = params[parameter]
  return typeof name === 'string' && name === headers['mcp-name'] && !name.startsWith(ENCODED)
}
