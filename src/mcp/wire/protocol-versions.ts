import { SUPPORTED_PROTOCOL_VERSIONS } from '@modelcontextprotocol/sdk/types.js'
import { NotAcceptableError, UnsupportedProtocolVersionError } from '../../errors.js'

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

/**
 * Checks that a POST may be answered either way, as the specification demands of clients.
 * @throws {NotAcceptableError}
 */
export function checkPostAccept (accept: string | undefined): void {
  if (accept === 'application/json, text/event-stream') return
  if (!accepts(accept, 'application/json') || !accepts(accept, 'text/event-stream')) {
    throw new NotAcceptableError('Not Acceptable: the client must accept both application/json and text/event-stream.')
  }
}

/**
 * Checks that a GET may be answered with a stream.
 * @throws {NotAcceptableError}
 */
export function checkStreamAccept (accept: string | undefined): void {
  if (!accepts(accept, 'text/event-stream')) throw new NotAcceptableError('Not Acceptable: the client must accept text/event-stream.')
}

function accepts (accept: string | undefined, mediaType: string): boolean {
  if (accept === undefined) return false
  const group = `${mediaType.split('/')[0]}/*`
  return accept.split(',').some(range => {
    const [type, ...parameters] = range.split(';').map(part => part.trim().toLowerCase())
    return (type === mediaType || type === group || type === '*/*') && !parameters.some(parameter => /^q=0(\.0*)?$/.test(parameter))
  })
}
