import { SUPPORTED_PROTOCOL_VERSIONS } from '@modelcontextprotocol/sdk/types.js'
import { UnsupportedProtocolVersionError } from '../../errors.js'

const supported = new Set(SUPPORTED_PROTOCOL_VERSIONS)

/**
 * Checks `MCP-Protocol-Version` (since 2025-06-18; older clients send none, and the session knows what was negotiated).
 * @throws {UnsupportedProtocolVersionError}
 */
export function checkProtocolVersion (header: string | string[] | undefined): void {
  if (isOfSessions(header)) return
  throw new UnsupportedProtocolVersionError(
    `Bad Request: unsupported protocol version (supported versions: ${SUPPORTED_PROTOCOL_VERSIONS.join(', ')}).`
  )
}

/** Whether `MCP-Protocol-Version` names a revision that we serve in sessions, or none. */
export function isOfSessions (header: string | string[] | undefined): boolean {
  return header === undefined || (typeof header === 'string' && supported.has(header))
}

/** Batches exist in one revision only. */
export function takesBatches (protocolVersion: string | undefined): boolean {
  return protocolVersion === '2025-03-26'
}

/** Events without data (which prime a client to resume) break clients of older revisions. */
export function takesPrimingEvents (protocolVersion: string | undefined): boolean {
  return protocolVersion !== undefined && protocolVersion >= '2025-11-25'
}
