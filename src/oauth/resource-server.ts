import { createRemoteJWKSet, customFetch, errors as jose, jwtVerify, type JWTPayload } from 'jose'
import * as openid from 'openid-client'
import type { CallerInfo } from '../auth-info.js'
import { InvalidTokenError, TemporarilyUnavailableError } from '../errors.js'
import { clientSecretBasic } from './client-secret-basic.js'
import { discover, isInsecure } from './discovery.js'
import { observedFetch, type UpstreamEndpoint, type UpstreamObserver } from './observer.js'
import { splitScopes } from './scopes.js'
import { hashOf } from './secrets.js'
import { send } from './upstream-fetch.js'

/** How access tokens of an authorization server that is not ours are verified. */
export interface ResourceServerOptions {
  /** The authorization server that issues the tokens, exactly as `iss` has it; discovered by OpenID Connect or RFC 8414. */
  issuer: string
  /** What `aud` must name one of: our resources. */
  audiences: readonly string[]
  /** Signature algorithms taken. Default: every asymmetric one that is sound. */
  algorithms?: ReadonlyArray<typeof SIGNATURE_ALGORITHMS[number]>
  /** Default: 30. */
  clockToleranceSeconds?: number
  /** For opaque tokens: our client at the introspection endpoint (RFC 7662). Absent: only JWTs are taken. */
  introspection?: { clientId: string, clientSecret: string }
  /** Makes the requests to it, in place of the global `fetch`. */
  fetch?: typeof fetch
  /** Hears of every request to the authorization server. */
  upstreamObserver?: UpstreamObserver
}

export const SIGNATURE_ALGORITHMS = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA', 'Ed25519'] as const
// an introspected token is asked for again after this time: how long a revocation may stay unseen
const INTROSPECTED_SECONDS = 15
const MAX_INTROSPECTED = 10_000
const MAX_TOKEN_LENGTH = 16_384

/** Verifies access tokens of `issuer`: JWTs by its keys (RFC 9068), opaque ones by asking it (RFC 7662). */
export function createTokenVerifier (options: ResourceServerOptions, now: () => number = Date.now): (token: string) => Promise<CallerInfo> {
  const { audiences, introspection, upstreamObserver } = options
  const fetchOf = (endpoint: UpstreamEndpoint) => observedFetch(endpoint, upstreamObserver, options.fetch)
  const issuerUrl = new URL(options.issuer)
  const introspected = new Map<string, { caller: CallerInfo, until: number }>()
  let server: Promise<openid.ServerMetadata> | undefined
  let keys: ReturnType<typeof createRemoteJWKSet> | undefined

  function metadata (): Promise<openid.ServerMetadata> {
    server ??= discover(issuerUrl, fetchOf('discovery')).catch((error: unknown) => {
      server = undefined
      throw error
    })
    return server
  }

  async function verifyJwt (token: string): Promise<CallerInfo> {
    const { jwks_uri: jwksUri } = await metadata()
    if (jwksUri === undefined) throw new InvalidTokenError('The access token cannot be verified here.', { detail: 'the issuer has no jwks_uri' })
    // fetches again where a token names a key that is new (rotation), but not at every such token
    keys ??= createRemoteJWKSet(new URL(jwksUri), { [customFetch]: fetchOf('jwks') })
    const { payload } = await jwtVerify(token, keys, {
      issuer: options.issuer,
      audience: [...audiences],
      algorithms: [...options.algorithms ?? SIGNATURE_ALGORITHMS],
      clockTolerance: options.clockToleranceSeconds ?? 30,
      currentDate: new Date(now()),
      requiredClaims: ['exp', 'sub']
    }).catch((error: unknown) => { throw tokenError(error) })
    return callerOf(token, payload, options.issuer)
  }

  async function introspect (token: string, client: { clientId: string, clientSecret: string }): Promise<CallerInfo> {
    const hash = hashOf(token)
    const known = introspected.get(hash)
    if (known !== undefined && now() / 1000 < known.until) return known.caller
    introspected.delete(hash)
    const authorizationServer = await metadata()
    const configuration = new openid.Configuration(authorizationServer, client.clientId, undefined, clientSecretBasic(client.clientSecret))
    configuration[openid.customFetch] = (url, init) => send(fetchOf('introspection'), url, init)
    if (isInsecure(issuerUrl)) openid.allowInsecureRequests(configuration)
    const answer = await openid.tokenIntrospection(configuration, token).catch((error: unknown) => { throw tokenError(error) })
    const audience = answer.aud === undefined ? [] : [answer.aud].flat()
    if (!answer.active || answer.sub === undefined || !audience.some(name => audiences.includes(name))) {
      throw new InvalidTokenError('The access token is unknown, has expired, or is for another resource.')
    }
    const caller = callerOf(token, answer, options.issuer)
    introspected.set(hash, { caller, until: Math.min(now() / 1000 + INTROSPECTED_SECONDS, answer.exp ?? Infinity) })
    const [oldest] = introspected.keys()
    if (introspected.size > MAX_INTROSPECTED && oldest !== undefined) introspected.delete(oldest)
    return caller
  }

  return async token => {
    if (token.length > MAX_TOKEN_LENGTH) throw new InvalidTokenError('The access token is not one that this server takes.')
    if (/^[\w-]+\.[\w-]+\.[\w-]+$/.test(token)) return await verifyJwt(token)
    if (introspection === undefined) throw new InvalidTokenError('The access token is not one that this server takes.')
    return await introspect(token, introspection)
  }
}

interface Claims extends Pick<JWTPayload, 'sub' | 'exp'> {
  [claim: string]: unknown
}

function callerOf (token: string, claims: Claims, issuer: string): CallerInfo {
  const { sub = '', exp, client_id: clientId, azp, scope, scp } = claims
  const client = [clientId, azp].find(value => typeof value === 'string')
  return {
    token,
    clientId: typeof client === 'string' ? client : '',
    // Entra and Okta name them scp
    scopes: Array.isArray(scp) ? scp.filter(name => typeof name === 'string') : splitScopes(typeof scope === 'string' ? scope : typeof scp === 'string' ? scp : undefined),
    ...exp !== undefined && { expiresAt: exp },
    extra: { issuer, subject: sub, claims: { ...claims } }
  }
}

function tokenError (error: unknown): Error {
  if (error instanceof jose.JOSEError && !(error instanceof jose.JWKSTimeout)) {
    return new InvalidTokenError('The access token is invalid, has expired, or is for another resource.', { detail: error.message, cause: error })
  }
  const detail = error instanceof Error ? error.message : String(error)
  return new TemporarilyUnavailableError('The access token cannot be verified just now. Try again in a moment.', { detail, cause: error, retryAfterSeconds: 5 })
}
