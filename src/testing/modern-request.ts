import { PROTOCOL_VERSION_META_KEY } from '@modelcontextprotocol/server'
import { toHeaderValue } from '../mcp/wire/header-value.js'
import { REVISION_2026_07_28 } from '../mcp/wire/protocol-versions.js'

/**
 * A request of revision 2026-07-28, for `fetch`: it says in its headers and in `_meta` what it is.
 * @param meta more of its `_meta`: the client's capabilities, at least
 */
export function modernRequest (
  id: number,
  method: string,
  params: Record<string, unknown>,
  meta: Record<string, unknown>
): { method: 'POST', headers: Record<string, string>, body: string } {
  const name = params.name ?? params.uri ?? params.taskId
  return {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      accept: 'application/json, text/event-stream',
      'mcp-protocol-version': REVISION_2026_07_28,
      'mcp-method': method,
      ...typeof name === 'string' && { 'mcp-name': toHeaderValue(name) }
    },
    body: JSON.stringify({
      jsonrpc: '2.0',
      id,
      method,
      params: { ...params, _meta: { [PROTOCOL_VERSION_META_KEY]: REVISION_2026_07_28, ...meta } }
    })
  }
}
