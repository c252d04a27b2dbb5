import { createHmac } from 'node:crypto'
import type { Keyring } from '../keyring.js'
import { equalSecrets, newSecret, PREFIXES } from '../secrets.js'

/** What we give to clients, and they present to us. */
export type RecognisedKind = 'authorizationCode' | 'accessToken' | 'refreshToken'

/** What a refresh token was made for. */
export interface RefreshTokenOrigin {
  grantId: string
  /** Epoch seconds. */
  expiresAt: number
}

const END_LENGTH = 7
const RANDOM_LENGTH = 43
const MARK_BYTES = 12
const MARK_LENGTH = 16

/**
 * Secrets that end with a mark of our own (an HMAC): that we have made one, any replica sees without asking the store.
 * The
 * mark lets nobody in, which takes the store; it shows which requests to look at if an address sends too many.
 */
export class RecognisedSecrets {
  readonly #keys: readonly [Uint8Array, ...Uint8Array[]]

  constructor (keyring: Keyring) {
    this.#keys = keyring.derive('marks of secrets')
  }

  /** A new code or access token. */
  make (kind: Exclude<RecognisedKind, 'refreshToken'>): string {
    return this.#marked(newSecret(kind))
  }

  /** A new refresh token, from which only we can read its grant and its end, when nothing else is known of it. */
  makeRefreshToken ({ grantId, expiresAt }: RefreshTokenOrigin): string {
    const end = Math.ceil(expiresAt).toString(36).padStart(END_LENGTH, '0')
    return this.#marked(newSecret('refreshToken') + grantId.slice(PREFIXES.grant.length) + end)
  }

  /** Whether we have made this; false, too, if it was made before there were marks, or with a key that is gone. */
  recognises (kind: RecognisedKind, value: string): boolean {
    const [secret, given] = [value.slice(0, -MARK_LENGTH), value.slice(-MARK_LENGTH)]
    return value.startsWith(PREFIXES[kind]) && value.length >= PREFIXES[kind].length + RANDOM_LENGTH + MARK_LENGTH &&
      this.#keys.some(key => equalSecrets(given, mark(key, secret)))
  }

  /** Where one of our refresh tokens came from, however long ago it was rotated. */
  originOf (refreshToken: string): RefreshTokenOrigin | undefined {
    const told = refreshToken.slice(PREFIXES.refreshToken.length + RANDOM_LENGTH, -MARK_LENGTH)
    if (told === '' || !this.recognises('refreshToken', refreshToken)) return undefined
    return { grantId: PREFIXES.grant + told.slice(0, -END_LENGTH), expiresAt: parseInt(told.slice(-END_LENGTH), 36) }
  }

  #marked (secret: string): string {
    return secret + mark(this.#keys[0], secret)
  }
}

function mark (key: Uint8Array, secret: string): string {
  return createHmac('sha256', key).update(secret).digest().subarray(0, MARK_BYTES).toString('base64url')
}
