import { BodyTooLargeError } from '../../errors.js'

/** Largest body of an MCP request, in bytes, unless `maxBodyBytes` (MAX_BODY_BYTES) says otherwise. */
export const MCP_BODY_BYTES = 4_194_304

/** Largest body of an OAuth request or a form, in bytes: no such message is larger. */
export const OAUTH_BODY_BYTES = 65_536
/** Of a request without a token. */
export const MAX_ANONYMOUS_BODY_BYTES = 262_144

export function anonymousBodyTooLarge (): BodyTooLargeError {
  return new BodyTooLargeError('Payload Too Large: without a token, a body has 256 KiB at most.')
}
