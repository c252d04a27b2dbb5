import { createHash } from 'node:crypto'
import { InvalidGrantError, InvalidRequestError } from '../errors.js'
import { equalSecrets } from './secrets.js'

/**
 * Checks the challenge of an authorization request (RFC 7636 4.3). Only S256: `plain` does not protect.
 * @throws {InvalidRequestError}
 */
export function checkCodeChallenge (challenge: string | undefined, method: string | undefined): string {
  if (challenge === undefined) throw new InvalidRequestError('PKCE is required: code_challenge is missing.')
  if (method !== 'S256') throw new InvalidRequestError('PKCE is required with code_challenge_method S256.')
  if (!/^[A-Za-z0-9_-]{43}$/.test(challenge)) {
    throw new InvalidRequestError('The code_challenge must be a base64url-encoded SHA-256 hash.')
  }
  return challenge
}

/**
 * Checks the verifier of a token request (RFC 7636 4.6).
 * @throws {InvalidRequestError} if it is missing @throws {InvalidGrantError} if it does not match
 */
export function checkCodeVerifier (verifier: string | undefined, challenge: string): void {
  if (verifier === undefined) throw new InvalidRequestError('The code_verifier is missing.')
  if (
    !/^[A-Za-z0-9\-._~]{43,128}$/.test(verifier) ||
    !equalSecrets(createHash('sha256').update(verifier).digest('base64url'), challenge)
  ) {
    throw new InvalidGrantError('The code_verifier does not match the code_challenge.', { reason: 'wrong_verifier' })
  }
}
