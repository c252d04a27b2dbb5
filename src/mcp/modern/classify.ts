import { classifyInboundRequest, PROTOCOL_VERSION_META_KEY } from '@modelcontextprotocol/server'
import { isPlainMessage } from '../wire/messages.js'
import type { InboundMessage } from './modern-call.js'
import { isOfSessions } from '../wire/protocol-versions.js'
import { isObject } from '../../members.js'

/**
 * Whether a POST is of revision 2026-07-28, or is refused by its rules: the SDK's own classification, so that we never
 * disagree with it. It is not asked about what neither body nor header claims to be of a revision without sessions.
 */
export function isModernRequest ({ headers, body }: Pick<InboundMessage, 'headers' | 'body'>): boolean {
  if (isPlainMessage(body) && isOfSessions(headers['mcp-protocol-version'])) return false
  if (isClaim(body)) return true
  const [protocolVersionHeader, mcpMethodHeader, mcpNameHeader] = ['mcp-protocol-version', 'mcp-method', 'mcp-name']
    .map(name => headers[name]?.toString())
  return classifyInboundRequest({
    httpMethod: 'POST',
    body,
    ...protocolVersionHeader !== undefined && { protocolVersionHeader },
    ...mcpMethodHeader !== undefined && { mcpMethodHeader },
    ...mcpNameHeader !== undefined && { mcpNameHeader }
  }).kind !== 'legacy'
}

/**
 * Whether a body is a message that claims this revision. The SDK takes none of these for one of sessions (but for an
 * `initialize`, which it looks into), so that its entry may be the one to classify it: once is enough.
 */
function isClaim (body: unknown): boolean {
  if (
    typeof body !== 'object' || body === null || !('method' in body) || !('params' in body) || 'result' in body ||
    'error' in body
  ) return false
  const { method, params } = body
  if (
    typeof method !== 'string' || method === 'initialize' || typeof params !== 'object' || params === null ||
    !('_meta' in params)
  ) return false
  const { _meta: meta } = params
  return isObject(meta) && PROTOCOL_VERSION_META_KEY in meta
}
