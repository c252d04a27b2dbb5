import { createHash } from 'node:crypto'

/** Access tokens that every server knows, each of another person. */
export const TOKENS = 1000

/** An access token, of the length that random ones have. */
export function tokenOf (index: number): string {
  return createHash('sha256').update(`token ${index}`).digest('base64url')
}
