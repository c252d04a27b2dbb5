import { SUPPORTED_PROTOCOL_VERSIONS } from '@modelcontextprotocol/server'
import { UnsupportedProtocolVersionError } from '../../errors.js'

export const REVISION_2025_03_26 = '2025-03-26'
/** The last revision with sessions, and what this service speaks when it is a client of its own server. */
export const REVISION_2025_11_25 = '2025-11-25'
/** The revision without sessions. */
export const REVISION_2026_07_28 = '2026-07-28'

const supported = new Set(SUPPORTED_PROTOCOL_VERSIONS)

/**
 * Checks what `isOfSessions` says of `MCP-Protocol-Version`.
 * @throws {UnsupportedProtocolVersionError}
 */
export function checkProtocolVersion (isKnown: boolean): void {
  if (isKnown) return
  throw new UnsupportedProtocolVersionError(
    `Bad Request: unsupported protocol version (supported versions: ${SUPPORTED_PROTOCOL_VERSIONS.join(', ')}).`
  )
}

/**
 * Whether `MCP-Protocol-Version` names a revision with sessions. It is optional: clients send it since 2025-06-18, and
 * the session knows what was negotiated.
 */
export function isOfSessions (header: string | string[] | undefined): boolean {
  return header === undefined || (typeof header === 'string' && supported.has(header))
}

/** Batches exist in one revision only. */
export function takesBatches (protocolVersion: string | undefined): boolean {
  return protocolVersion === REVISION_2025_03_26
}

/** Events without data (which prime a client to resume) break clients of older revisions. */
export function takesPrimingEvents (protocolVersion: string | undefined): boolean {
  return protocolVersion !== undefined && protocolVersion >= REVISION_2025_11_25
}
