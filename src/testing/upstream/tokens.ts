import { randomUUID } from 'node:crypto'
import { exportJWK, generateKeyPair, SignJWT, type JSONWebKeySet, type JWTPayload } from 'jose'
import type { UpstreamLogin } from './logins.js'
import type { ScriptableUpstreamOptions } from './options.js'

const KEY_ID = 'upstream'

/** What the upstream signs, and the key that it signs with. */
export class UpstreamTokens {
  readonly #issuer: string
  readonly #options: ScriptableUpstreamOptions
  #keyPair: ReturnType<typeof generateKeyPair> | undefined

  constructor (issuer: string, options: ScriptableUpstreamOptions) {
    this.#issuer = issuer
    this.#options = options
  }

  /** Opaque, or a JWT for the resource that was asked for. */
  async accessToken (
    { subject, clientId, scope, resource }: UpstreamLogin,
    seconds: number
  ): Promise<string> {
    if (resource === undefined) return `upstream-${randomUUID()}`
    return await this.sign({ aud: resource, sub: subject, client_id: clientId, scope, jti: randomUUID() }, seconds)
  }

  async idToken ({ subject, clientId, nonce }: UpstreamLogin): Promise<string> {
    const {
      idTokenClaims = (subject: string) => ({
        name: `${subject} of the ID token`,
        email: `${subject}@id-token.example`
      })
    } = this.#options
    return await this.sign({
      aud: clientId,
      sub: subject,
      ...idTokenClaims(subject),
      ...nonce !== undefined && { nonce }
    }, 300)
  }

  async sign (claims: JWTPayload, seconds: number): Promise<string> {
    const { algorithm = 'ES256' } = this.#options
    const now = Math.floor(Date.now() / 1000)
    const usual = { iss: this.#issuer, iat: now, exp: now + seconds }
    return await new SignJWT({ ...usual, ...claims }).setProtectedHeader({ alg: algorithm, kid: KEY_ID })
      .sign((await this.#keys()).privateKey)
  }

  async jwks (): Promise<JSONWebKeySet> {
    return { keys: [{ ...await exportJWK((await this.#keys()).publicKey), use: 'sig', kid: KEY_ID }] }
  }

  #keys (): ReturnType<typeof generateKeyPair> {
    this.#keyPair ??= generateKeyPair(this.#options.algorithm ?? 'ES256')
    return this.#keyPair
  }
}
