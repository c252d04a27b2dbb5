import type { ServerMetadata } from 'openid-client'
import { stillLasts } from '../../collections/still-lasts.js'
import { TemporarilyUnavailableError } from '../../errors.js'
import type { BackChannel } from '../../outbound/back-channel.js'
import { discover } from './discovery.js'
import { OPENID_SCOPES } from '../scopes.js'
import { Tenants } from './tenants.js'
import type { Fetch } from '../upstream-observer.js'
import type { UpstreamSettings } from '../upstream-settings.js'

const DISCOVERED_SECONDS = 3600
// if discovery fails, the known metadata stays in use, and is requested again after this time
const REDISCOVERY_SECONDS = 60
// and when nothing was known, for callers meanwhile: anyone may call /readyz
const FAILED_SECONDS = 1
// asymmetric ones; the ID token comes straight from the token endpoint, over TLS (OpenID Connect Core 3.1.3.7)
const SIGNING_ALGORITHMS = [
  'RS256',
  'RS384',
  'RS512',
  'PS256',
  'PS384',
  'PS512',
  'ES256',
  'ES384',
  'ES512',
  'EdDSA',
  'Ed25519'
]

// RFC 8414 2: a server need not list all of its scopes; if its list lacks one of these, it is not asked for
const STANDARD_SCOPES: readonly string[] = OPENID_SCOPES

/** The scopes to ask for, without standard ones that the server does not know. */
export function knownScopes (
  scopes: readonly string[],
  { scopes_supported: supported }: Readonly<ServerMetadata>
): string[] {
  return scopes.filter(scope =>
    supported === undefined || supported.includes(scope) || !STANDARD_SCOPES.includes(scope)
  )
}

/** The upstream's metadata, kept for an hour, with the endpoints that were configured instead. */
export class UpstreamMetadata {
  readonly #options: UpstreamSettings
  readonly #fetch: Fetch
  readonly #backChannel: BackChannel
  readonly #now: () => number
  #known: { value: Promise<ServerMetadata>, expiresAt: number } | undefined
  #failed: { error: unknown, until: number } | undefined

  constructor (options: UpstreamSettings, fetch: Fetch, backChannel: BackChannel, now: () => number) {
    this.#options = options
    this.#fetch = fetch
    this.#backChannel = backChannel
    this.#now = now
  }

  /** Requests it if nothing is known. Rejects if the upstream cannot be reached and never could be. */
  get (): Promise<ServerMetadata> {
    const now = this.#now() / 1000
    const known = this.#known
    if (known !== undefined && stillLasts(now, known.expiresAt, DISCOVERED_SECONDS)) return known.value
    const failed = this.#failed
    if (known === undefined && failed !== undefined && stillLasts(now, failed.until, FAILED_SECONDS)) {
      return Promise.reject(failed.error)
    }
    const value = this.#discover().catch((error: unknown) => {
      // an upstream whose discovery is down may still respond: the known metadata stays in use
      this.#known = known && { value: known.value, expiresAt: this.#now() / 1000 + REDISCOVERY_SECONDS }
      if (known === undefined) {
        this.#failed = { error, until: this.#now() / 1000 + FAILED_SECONDS }
        throw error
      }
      return known.value
    })
    this.#known = { value, expiresAt: now + DISCOVERED_SECONDS }
    return value
  }

  async #discover (): Promise<ServerMetadata> {
    const { issuerUrl, authorizationUrl, tokenUrl, registrationUrl, revocationUrl, timeoutSeconds } = this.#options
    const explicit = {
      ...authorizationUrl && { authorization_endpoint: authorizationUrl.href },
      ...tokenUrl && { token_endpoint: tokenUrl.href },
      ...registrationUrl && { registration_endpoint: registrationUrl.href },
      ...revocationUrl && { revocation_endpoint: revocationUrl.href }
    }
    const defaults = { id_token_signing_alg_values_supported: SIGNING_ALGORITHMS }
    // without any metadata, what most take
    const unknown = { token_endpoint_auth_methods_supported: ['client_secret_post'] }
    if (issuerUrl === undefined) return { ...defaults, ...unknown, issuer: authorizationUrl?.origin ?? '', ...explicit }
    const tenants = Tenants.find(issuerUrl, this.#options.allowedTenants)
    const backChannel = this.#backChannel
    const asked = discover(issuerUrl, this.#fetch, timeoutSeconds, { backChannel, tenants })
    const discovered = await asked.catch((error: unknown) => {
      // endpoints that were named need no discovery
      if (error instanceof TemporarilyUnavailableError || authorizationUrl === undefined || tokenUrl === undefined) {
        throw error
      }
      const named = issuerUrl.pathname === '/' ? issuerUrl.origin : issuerUrl.href
      return { ...unknown, issuer: tenants?.template ?? named }
    })
    return { ...defaults, ...discovered, ...explicit }
  }
}
