import { SUPPORTED_PROTOCOL_VERSIONS } from '@modelcontextprotocol/server'
import { UnsupportedProtocolVersionError } from '../../errors.js'
import { jsonRpcCodes } from '../../json-rpc-codes.js'
import { isObject } from '../../members.js'
import type { JsonRpcResponse } from './messages.js'

export const REVISION_2025_03_26 = '2025-03-26'
/** The last revision with sessions, and what this service speaks when it is a client of its own server. */
export const REVISION_2025_11_25 = '2025-11-25'
/** The revision without sessions. */
export const REVISION_2026_07_28 = '2026-07-28'

/** `modern`: 2026-07-28. `legacy`: the revisions before it. */
export type Era = 'legacy' | 'modern'

/** What is served at one endpoint, the newest first. */
export const SERVED_REVISIONS: readonly string[] = [REVISION_2026_07_28, ...SUPPORTED_PROTOCOL_VERSIONS]

const supported = new Set(SUPPORTED_PROTOCOL_VERSIONS)

/**
 * Checks what `isOfSessions` says of `MCP-Protocol-Version`.
 * @throws {UnsupportedProtocolVersionError}
 */
export function checkProtocolVersion (isKnown: boolean): void {
  if (isKnown) return
  throw new UnsupportedProtocolVersionError(
    `Bad Request: unsupported protocol version (supported versions: ${SERVED_REVISIONS.join(', ')}).`
  )
}

/**
 * Whether `MCP-Protocol-Version` names a revision with sessions. It is optional: clients send it since 2025-06-18, and
 * the session knows what was negotiated.
 */
export function isOfSessions (header: string | string[] | undefined): boolean {
  return header === undefined || (typeof header === 'string' && supported.has(header))
}

/** The response to `server/discover`: the SDK names only the revisions without sessions. */
export function discoverServed (response: JsonRpcResponse): JsonRpcResponse {
  if ('error' in response || !Array.isArray(response.result.supportedVersions)) return response
  const named: unknown[] = response.result.supportedVersions
  const supportedVersions = [...new Set([...named, ...SUPPORTED_PROTOCOL_VERSIONS])]
  return { ...response, result: { ...response.result, supportedVersions } }
}

/** The same for the text of the error that refuses an unknown revision; any other text is returned as it is. */
export function textWithServed (text: string): string {
  if (!text.includes(String(jsonRpcCodes.unsupportedProtocolVersion))) return text
  const response: unknown = JSON.parse(text)
  if (!isObject(response) || !isObject(response.error) || !isObject(response.error.data)) return text
  const { error, error: { code, data } } = response
  if (code !== jsonRpcCodes.unsupportedProtocolVersion) return text
  return JSON.stringify({ ...response, error: { ...error, data: { ...data, supported: SERVED_REVISIONS } } })
}

/** Batches exist in one revision only. */
export function takesBatches (protocolVersion: string | undefined): boolean {
  return protocolVersion === REVISION_2025_03_26
}

/** Events without data (which prime a client to resume) break clients of older revisions. */
export function takesPrimingEvents (protocolVersion: string | undefined): boolean {
  return protocolVersion !== undefined && protocolVersion >= REVISION_2025_11_25
}
