import { createCipheriv, createDecipheriv, createHmac, hkdfSync, randomBytes } from 'node:crypto'
import { ConfigError } from '../errors.js'
import { equalSecrets } from './secrets.js'

interface Key {
  id: string
  sealing: Buffer
  signing: Buffer
}

const KEY = /^([A-Za-z0-9_-]{1,32}):([A-Za-z0-9_-]{43})=?$/
const IV_BYTES = 12
const TAG_BYTES = 16

/**
 * Seals stored data (AES-256-GCM) and signs cookies (HMAC-SHA-256).
 * The first key seals and signs; all of them open and verify. To rotate keys, put a new one in front.
 * @example
 * ```ts
 * import { Keyring } from 'fastify-mcp-oauth'
 *
 * // openssl rand -base64 32 | tr '+/' '-_' makes a key
 * const keyring = new Keyring(process.env.ENCRYPTION_KEYS)
 * const sealed = keyring.seal('settings of my app', { theme: 'dark' })
 * console.log(keyring.open('settings of my app', sealed))
 * ```
 */
export class Keyring {
  readonly #keys: ReadonlyMap<string, Key>
  readonly #first: Key

  /**
   * @param keys `id:base64url of 32 bytes`, comma-separated; absent: a random key of this process
   * @throws {ConfigError}
   */
  constructor (keys?: string) {
    const parsed = keys === undefined
      ? [deriveKey('process', randomBytes(32))]
      : keys.split(',').map(key => parse(key.trim()))
    const [first] = parsed
    if (first === undefined) throw new ConfigError('ENCRYPTION_KEYS must not be empty.')
    this.#first = first
    this.#keys = new Map(parsed.map(key => [key.id, key]))
    if (this.#keys.size < parsed.length) throw new ConfigError('ENCRYPTION_KEYS has two keys with the same id.')
  }

  /** Whether the constructor takes `keys`. */
  static canParse (keys: string): boolean {
    try {
      return new Keyring(keys) instanceof Keyring
    } catch {
      return false
    }
  }

  /** Keys of 32 bytes for a separate purpose, derived from each of our keys, in their order. */
  derive (purpose: string): [Uint8Array, ...Uint8Array[]] {
    const derive = ({ signing }: Key) =>
      new Uint8Array(hkdfSync('sha256', signing, '', `fastify-mcp-oauth ${purpose}`, 32))
    return [derive(this.#first), ...[...this.#keys.values()].filter(key => key !== this.#first).map(derive)]
  }

  /**
   * A fingerprint of each key, by its id: two replicas with the same have the same key. Nobody learns the key from it.
   */
  get fingerprints (): Record<string, string> {
    return Object.fromEntries([...this.#keys].map(([id, { signing }]) => [
      id,
      Buffer.from(hkdfSync('sha256', signing, '', 'fastify-mcp-oauth fingerprint', 16)).toString('base64url')
    ]))
  }

  /** Encrypts a value as JSON; only `open` with the same `purpose` reads it. */
  seal (purpose: string, value: unknown): string {
    const iv = randomBytes(IV_BYTES)
    const cipher = createCipheriv('aes-256-gcm', this.#first.sealing, iv).setAAD(Buffer.from(purpose))
    const text = Buffer.concat([cipher.update(JSON.stringify(value), 'utf8'), cipher.final()])
    return `${this.#first.id}.${Buffer.concat([iv, text, cipher.getAuthTag()]).toString('base64url')}`
  }

  /**
   * Decrypts what `seal` gave.
   * @returns undefined if it was altered, was sealed for another purpose, or its key is gone
   */
  open (purpose: string, sealed: string): unknown {
    const [id = '', data = ''] = sealed.split('.')
    const key = this.#keys.get(id)
    const bytes = Buffer.from(data, 'base64url')
    if (key === undefined || bytes.length < IV_BYTES + TAG_BYTES) return undefined
    const decipher = createDecipheriv('aes-256-gcm', key.sealing, bytes.subarray(0, IV_BYTES), {
      authTagLength: TAG_BYTES
    })
      .setAAD(Buffer.from(purpose)).setAuthTag(bytes.subarray(-TAG_BYTES))
    try {
      return JSON.parse(
        Buffer.concat([decipher.update(bytes.subarray(IV_BYTES, -TAG_BYTES)), decipher.final()]).toString('utf8')
      )
    } catch {
      return undefined
    }
  }

  /** Whether a value was sealed with another key than the first: it should be sealed again. */
  isOutdated (sealed: string): boolean {
    return !sealed.startsWith(`${this.#first.id}.`)
  }

  /** Signs a value for a purpose. @returns the value with its signature */
  sign (purpose: string, value: string): string {
    return `${value}.${this.#first.id}.${signature(this.#first, purpose, value)}`
  }

  /** Checks what `sign` gave. @returns the signed value, or undefined if the signature is not ours */
  verify (purpose: string, signed: string): string | undefined {
    const [, value, id = '', given = ''] = /^(.*)\.([^.]*)\.([^.]*)$/s.exec(signed) ?? []
    const key = this.#keys.get(id)
    return value !== undefined && key !== undefined && equalSecrets(given, signature(key, purpose, value))
      ? value
      : undefined
  }
}

function parse (text: string): Key {
  const [, id, key] = KEY.exec(text) ?? []
  if (id === undefined || key === undefined) {
    throw new ConfigError('ENCRYPTION_KEYS has a key that is not id:base64url of 32 bytes.')
  }
  return deriveKey(id, Buffer.from(key, 'base64url'))
}

function deriveKey (id: string, secret: Buffer): Key {
  const derive = (info: string) => Buffer.from(hkdfSync('sha256', secret, '', `fastify-mcp-oauth ${info}`, 32))
  return { id, sealing: derive('sealing'), signing: derive('signing') }
}

function signature (key: Key, purpose: string, value: string): string {
  return createHmac('sha256', key.signing).update(`${purpose}\n${value}`).digest('base64url')
}
