import { randomBytes } from 'node:crypto'
import { jwtVerify } from 'jose'
import * as openid from 'openid-client'
import { stillLasts } from '../../collections/still-lasts.js'
import type { CallerInfo } from '../../caller.js'
import { InvalidTokenError } from '../../errors.js'
import { BackChannel } from '../../outbound/back-channel.js'
import { clientSecretBasic } from '../upstream/client-secret-basic.js'
import { discover, isInsecure } from '../upstream/discovery.js'
import { Introspection, isActive } from './introspection.js'
import { IssuerKeys } from './issuer-keys.js'
import type { BrokerLog } from '../../log.js'
import { observedFetch, type UpstreamEndpoint, type UpstreamObserver } from '../upstream-observer.js'
import { DEFAULT_REQUESTS_PER_MINUTE, RateLimits } from '../rate-limits.js'
import { acceptAudiences } from './token-audience.js'
import { toCaller } from './token-caller.js'
import { checkTenant, keysOfToken } from './token-tenant.js'
import { toTokenError } from './token-error.js'
import { objectionToClaims, objectionToType, type TokenClaims } from './token-kind.js'
import { Tenants } from '../upstream/tenants.js'
import { fetchIntrospectionAnswer } from '../upstream/answers/introspection.js'

/** How access tokens of an external authorization server are verified. */
export interface ResourceServerOptions {
  /** The authorization server that issues the tokens, exactly as in `iss`; discovered by OpenID Connect or RFC 8414. */
  issuer: string
  /**
   * `issuer` as this service reaches it, if browsers reach it elsewhere: all requests go there. https, or http to a
   * private address, to loopback, or to a name that only a local network has. Without a path, only the origin differs.
   */
  internalUrl?: URL | string
  /** Our resources: `aud` must name one of them, in any equivalent spelling. */
  audiences: readonly string[]
  /**
   * Ids of clients whose tokens need no `aud` (those of Amazon Cognito have none). Such a token is good at every
   * resource of the issuer. Default: none.
   */
  clientsWithoutAudience?: readonly string[]
  /** Accepted signature algorithms. Default: every sound asymmetric one. */
  algorithms?: ReadonlyArray<typeof SIGNATURE_ALGORITHMS[number]>
  /** Default: 30. */
  clockToleranceSeconds?: number
  /**
   * Ids of the Microsoft Entra tenants whose people may come, where `issuer` is that of many (`common`,
   * `organizations`); `*` for all.
   */
  allowedTenants?: readonly string[]
  /** For opaque tokens: our client at the introspection endpoint (RFC 7662). Absent: only JWTs are accepted. */
  introspection?: { clientId: string, clientSecret: string }
  /** Whether a JWT must be of the type of RFC 9068 (`typ: at+jwt`). Default: false. */
  strictTokenType?: boolean
  /** Unknown opaque tokens that one address may have us ask about in a minute. Default: 300. */
  requestsPerMinute?: number
  /** Makes the requests to it, in place of the global `fetch`. */
  fetch?: typeof fetch
  /** Called with every request to the authorization server. */
  upstreamObserver?: UpstreamObserver
}

export const SIGNATURE_ALGORITHMS = [
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
] as const
const MAX_TOKEN_LENGTH = 16_384
// an issuer whose discovery failed is not asked again at once, however many tokens arrive
const REDISCOVERY_SECONDS = 2
const CLOCK_TOLERANCE_SECONDS = 30

/** `VerifyAccessToken`, always asynchronous. */
type VerifyTokenOfIssuer = (token: string, request?: { readonly ip: string }) => Promise<CallerInfo>

/**
 * Verifies access tokens of `issuer`: JWTs by its keys (RFC 9068), opaque ones by asking it (RFC 7662).
 * @param log is told of outages that callers do not notice
 */
export function createTokenVerifier (
  options: ResourceServerOptions,
  now: () => number = () => Date.now(),
  log: Pick<BrokerLog, 'warn'> = { warn () {} }
): VerifyTokenOfIssuer {
  const verifier = new TokenVerifier(options, now, log)
  return async (token, request) => await verifier.verify(token, request)
}

class TokenVerifier {
  readonly #options: ResourceServerOptions
  readonly #now: () => number
  readonly #log: Pick<BrokerLog, 'warn'>
  readonly #issuerUrl: URL
  readonly #backChannel: BackChannel
  /** Whether a token is for one of our resources. */
  readonly #isForUs: (claims: TokenClaims) => boolean
  readonly #introspection: Introspection | undefined
  readonly #toleranceSeconds: number
  readonly #tenants: Tenants | undefined
  #server: { value: Promise<openid.ServerMetadata>, failedAt?: number } | undefined
  #keys: IssuerKeys | undefined

  constructor (options: ResourceServerOptions, now: () => number, log: Pick<BrokerLog, 'warn'>) {
    const { issuer, internalUrl, introspection: client } = options
    const { requestsPerMinute: unknownPerMinute = DEFAULT_REQUESTS_PER_MINUTE } = options
    this.#options = options
    this.#now = now
    this.#log = log
    this.#issuerUrl = new URL(issuer)
    this.#backChannel = new BackChannel({
      issuerUrl: this.#issuerUrl,
      ...internalUrl !== undefined && { internalUrl: new URL(internalUrl) }
    })
    this.#tenants = Tenants.find(this.#issuerUrl, options.allowedTenants)
    this.#isForUs = acceptAudiences(options)
    this.#toleranceSeconds = options.clockToleranceSeconds ?? CLOCK_TOLERANCE_SECONDS
    const limits = new RateLimits({ secret: randomBytes(32), now })
    this.#introspection = client &&
      new Introspection({ ask: token => this.#introspect(token, client), limits, unknownPerMinute, now })
  }

  async verify (token: string, request: { readonly ip: string } | undefined): Promise<CallerInfo> {
    if (token.length > MAX_TOKEN_LENGTH) {
      throw new InvalidTokenError('This server does not accept this kind of access token.')
    }
    if (/^[\w-]+\.[\w-]+\.[\w-]+$/.test(token)) return await this.#verifyJwt(token)
    if (this.#introspection === undefined) {
      throw new InvalidTokenError('This server does not accept this kind of access token.')
    }
    return await this.#introspection.verify(token, request)
  }

  async #verifyJwt (token: string): Promise<CallerInfo> {
    const { algorithms, strictTokenType: strict = false } = this.#options
    const server = await this.#metadata()
    const { jwks_uri: jwksUri, token_endpoint: tokenEndpoint } = server
    if (jwksUri === undefined) {
      throw new InvalidTokenError('The access token cannot be verified here.', { detail: 'the issuer has no jwks_uri' })
    }
    this.#keys ??= new IssuerKeys({ url: jwksUri, fetch: this.#fetch('jwks'), log: this.#log, now: this.#now })
    const { payload, protectedHeader } = await jwtVerify(token, this.#keys.find, {
      ...this.#tenants === undefined && { issuer: this.#options.issuer },
      algorithms: [...algorithms ?? SIGNATURE_ALGORITHMS],
      clockTolerance: this.#toleranceSeconds,
      currentDate: new Date(this.#now()),
      requiredClaims: ['exp', 'sub']
    }).catch((error: unknown) => { throw toTokenError(error) })
    const issuer = this.#findIssuer(server, payload, keysOfToken(this.#keys.keySet, protectedHeader.kid))
    if (!this.#isForUs(payload)) {
      throw new InvalidTokenError('The access token is invalid, has expired, or is for another resource.', {
        detail: payload.aud === undefined ? 'missing required "aud" claim' : 'unexpected "aud" claim value'
      })
    }
    const objection = objectionToType(protectedHeader.typ, strict) ?? objectionToClaims(payload, tokenEndpoint)
    if (objection !== undefined) throw new InvalidTokenError('The token is not an access token.', { detail: objection })
    return toCaller(token, payload, issuer)
  }

  async #introspect (token: string, client: { clientId: string, clientSecret: string }): Promise<CallerInfo> {
    const server = await this.#metadata()
    const configuration = new openid.Configuration(
      server,
      client.clientId,
      undefined,
      clientSecretBasic(client.clientSecret)
    )
    configuration[openid.customFetch] = (url, init) =>
      fetchIntrospectionAnswer(this.#fetch('introspection'), url, init)
    if (isInsecure(this.#issuerUrl)) openid.allowInsecureRequests(configuration)
    const answer = await openid.tokenIntrospection(configuration, token).catch((error: unknown) => {
      throw toTokenError(error)
    })
    const now = this.#now() / 1000
    const issuer = answer.active ? this.#findIssuer(server, answer) : ''
    // its iss was checked with the tenant
    const said = this.#tenants === undefined ? answer : { ...answer, iss: issuer }
    if (!isActive(said, issuer, now, this.#toleranceSeconds) || !this.#isForUs(answer)) {
      throw new InvalidTokenError('The access token is unknown, has expired, or is for another resource.')
    }
    const objection = objectionToClaims(answer, server.token_endpoint)
    if (objection !== undefined) throw new InvalidTokenError('The token is not an access token.', { detail: objection })
    return toCaller(token, answer, issuer)
  }

  /**
   * Who issued a verified token, in the one spelling that names people.
   * @param keys those that may have signed it
   */
  #findIssuer (
    server: openid.ServerMetadata,
    claims: TokenClaims,
    keys?: readonly Readonly<Record<string, unknown>>[]
  ): string {
    return this.#tenants === undefined
      ? this.#options.issuer
      : checkTenant(this.#tenants, server.issuer, claims, keys)
  }

  /** What the issuer says of itself; asked for once. */
  #metadata (): Promise<openid.ServerMetadata> {
    const now = this.#now() / 1000
    const known = this.#server
    if (known !== undefined && (known.failedAt === undefined ||
      stillLasts(now, known.failedAt + REDISCOVERY_SECONDS, REDISCOVERY_SECONDS))) {
      return known.value
    }
    const metadata = discover(this.#issuerUrl, this.#fetch('discovery'), undefined, {
      backChannel: this.#backChannel,
      tenants: this.#tenants
    })
    const asked: { value: Promise<openid.ServerMetadata>, failedAt?: number } = {
      value: metadata.catch((error: unknown) => {
        asked.failedAt = this.#now() / 1000
        throw error
      })
    }
    this.#server = asked
    return asked.value
  }

  #fetch (endpoint: UpstreamEndpoint) {
    return observedFetch(
      endpoint,
      this.#options.upstreamObserver,
      this.#backChannel.fetch(this.#options.fetch)
    )
  }
}
