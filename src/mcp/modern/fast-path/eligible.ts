import { isJsonContentType, PROTOCOL_VERSION_META_KEY, type JSONRPCRequest } from '@modelcontextprotocol/server'
import { NAMED_METHODS } from '../../wire/named-methods.js'
import { REVISION_2026_07_28 } from '../../wire/protocol-versions.js'
import type { InboundHeaders } from '../lazy-request.js'

/*
 * What this is: the conditions under which the SDK's HTTP handler passes a request to the server unchanged.
 * What it is not: a check. It never says what is wrong with a request; the SDK's handler does.
 * What breaks: if the SDK's handler checks more headers, requests without them would be served here
 * (test/eras/fast-path.test.ts). A method that the handler begins to act on itself must leave `PASSED_ON`.
 * Delete it with the fast path.
 */

/** Methods that the SDK's handler leaves to the server. */
const PASSED_ON: ReadonlySet<string> = new Set([
  ...NAMED_METHODS.keys(),
  'tools/list',
  'prompts/list',
  'resources/list',
  'resources/templates/list',
  'completion/complete'
])
/** Names that begin so are encoded in `Mcp-Name`. */
const ENCODED = '=?'

/**
 * Whether the SDK's handler would pass a request to the server unchanged: its headers are complete, and match the
 * body.
 */
export function isPlainCall ({ method, params }: JSONRPCRequest, headers: InboundHeaders): boolean {
  if (!PASSED_ON.has(method) || params?._meta?.[PROTOCOL_VERSION_META_KEY] !== REVISION_2026_07_28) return false
  if (
    headers['mcp-protocol-version'] !== REVISION_2026_07_28 || headers['mcp-method'] !== method ||
    !isJsonContentType(headers['content-type']?.toString())
  ) return false
  const parameter = NAMED_METHODS.get(method)
  if (parameter === undefined) return true
  const name = params[parameter]
  return typeof name === 'string' && name === headers['mcp-name'] && !name.startsWith(ENCODED)
}
