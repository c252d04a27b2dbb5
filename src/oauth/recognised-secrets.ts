import { createHmac } from 'node:crypto'
import type { Keyring } from './keyring.js'
import { equalSecrets, newSecret, PREFIXES } from './secrets.js'

/** What clients get from us, and show us again. */
export type RecognisedKind = 'authorizationCode' | 'accessToken' | 'refreshToken'

const RANDOM_LENGTH = 43
const MARK_BYTES = 12
const MARK_LENGTH = 16

/**
 * Secrets that end with a mark of our own (an HMAC): that we have made one, any replica sees without asking the store. The
 * mark lets nobody in, which takes the store; it tells whose requests are worth looking at when an address sends too many.
 */
export class RecognisedSecrets {
  readonly #keys: readonly [Uint8Array, ...Uint8Array[]]

  constructor (keyring: Keyring) {
    this.#keys = keyring.derive('marks of secrets')
  }

  /** @param grantId for a refresh token: the grant it belongs to, which it tells as long as it exists */
  make (kind: RecognisedKind, grantId?: string): string {
    const secret = newSecret(kind) + (grantId === undefined ? '' : grantId.slice(PREFIXES.grant.length))
    return secret + mark(this.#keys[0], secret)
  }

  /** Whether we have made this; false, too, where it was made before there were marks, or with a key that is gone. */
  recognises (kind: RecognisedKind, value: string): boolean {
    const [secret, given] = [value.slice(0, -MARK_LENGTH), value.slice(-MARK_LENGTH)]
    return value.startsWith(PREFIXES[kind]) && value.length >= PREFIXES[kind].length + RANDOM_LENGTH + MARK_LENGTH &&
      this.#keys.some(key => equalSecrets(given, mark(key, secret)))
  }

  /** The grant that a refresh token of ours belongs to, or belonged to. */
  grantIdOf (refreshToken: string): string | undefined {
    const told = refreshToken.slice(PREFIXES.refreshToken.length + RANDOM_LENGTH, -MARK_LENGTH)
    return told !== '' && this.recognises('refreshToken', refreshToken) ? PREFIXES.grant + told : undefined
  }
}

function mark (key: Uint8Array, secret: string): string {
  return createHmac('sha256', key).update(secret).digest().subarray(0, MARK_BYTES).toString('base64url')
}
