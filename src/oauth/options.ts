import type { BrokerStores } from '../stores/stores.js'
import type { BrokerObserver } from './login-events.js'
import type { Keyring } from './keyring.js'
import type { UpstreamObserver } from './upstream-observer.js'
import type { PreregisteredClient } from './client.js'
import type { BrokerLog } from '../log.js'
import type { Policy } from '../policy/policy.js'
import type { ProviderName } from './providers/providers.js'
import type { ProxyOptions } from '../outbound/proxy.js'
import type { ProtectedServer } from './resources.js'

/** How long each request to the upstream may take, unless configured. */
export const DEFAULT_UPSTREAM_TIMEOUT_SECONDS = 10

/**
 * The upstream authorization server. URLs are https, or http on loopback.
 * @example
 * ```ts
 * import type { UpstreamOptions } from 'fastify-mcp-oauth'
 *
 * // static mode: this service was registered there by hand
 * export const upstream: UpstreamOptions = {
 *   issuerUrl: 'https://login.example.com',
 *   clientId: 'mcp',
 *   clientSecret: 'the secret of this client',
 *   scopes: ['openid', 'email', 'offline_access']
 * }
 * ```
 */
export interface UpstreamOptions {
  /**
   * What kind of login server it is: sets its endpoints, scopes, subject claim and where its groups are. Of Entra,
   * Auth0, Okta, Keycloak and Cognito, `issuerUrl` says which one. The other options go before what it sets.
   */
  provider?: ProviderName
  /** Discovered by OpenID Connect discovery or RFC 8414. */
  issuerUrl?: URL | string
  /**
   * `issuerUrl` as this service reaches it, if browsers reach it elsewhere: all of its own requests go there. https, or
   * http to a private address, to loopback, or to a name that only a local network has. Without a path, only the origin
   * differs. Requests to the endpoints that are named below go there, and not to this one.
   */
  internalUrl?: URL | string
  /** Without `issuerUrl`, these two locate the upstream; with it, they override what is discovered. */
  authorizationUrl?: URL | string
  /** Token endpoint (RFC 6749 3.2). */
  tokenUrl?: URL | string
  /** Registration endpoint (RFC 7591). */
  registrationUrl?: URL | string
  /** Revocation endpoint (RFC 7009). */
  revocationUrl?: URL | string
  /**
   * Returns who the person is, if the upstream has no ID tokens (or no `issuerUrl` to verify them) and no OpenID
   * userinfo endpoint.
   */
  userinfoUrl?: URL | string
  /** Member of the claims that names the person. Default: `sub`. */
  subjectClaim?: string
  /**
   * The claim that has the groups of a person, by its name or, inside an object, its path with dots
   * (`realm_access.roles`): rules look for them in `groups`. Default: that of the `provider`, or `groups`.
   */
  groupsClaim?: string
  /**
   * Our registered client there: static mode. Absent: each of our clients is registered there (RFC 7591), dynamic mode.
   */
  clientId?: string
  /** The secret of `clientId`. */
  clientSecret?: string
  /**
   * How `clientId` authenticates. `auto`: with the secret, as its metadata says, or else the other way once if it
   * responds with `invalid_client`. Default: what the `provider` needs, or `auto`.
   */
  clientAuthMethod?: 'client_secret_basic' | 'client_secret_post' | 'private_key_jwt' | 'none' | 'auto'
  /** The private key of `private_key_jwt` (RFC 7523): PEM (PKCS 8), or a JWK as JSON. */
  clientKey?: string
  /**
   * Whether an ID token may lack the nonce that was sent (LinkedIn). A stolen code of another login of the same client
   * is then stopped by PKCE and `state` alone. Default: false.
   */
  allowMissingNonce?: boolean
  /**
   * Whether the login there is protected by PKCE; false only for one that refuses a `code_verifier` (LinkedIn). A
   * stolen code is then stopped by `nonce` and `state` alone. Default: true.
   */
  pkce?: boolean
  /**
   * Ids of the Microsoft Entra tenants whose people may log in, where `issuerUrl` is that of many (`common`,
   * `organizations`); `*` for all, which is everybody with a Microsoft account.
   */
  allowedTenants?: readonly string[]
  /**
   * Scopes to ask for, without `openid`, `profile`, `email` and `offline_access` if its metadata lacks them. Default:
   * what the `provider` needs, or those four.
   */
  scopes?: readonly string[]
  /** Further parameters of the authorization request. */
  extraAuthorizeParams?: Readonly<Record<string, string>>
  /**
   * In dynamic mode, a name for the registrations there that are good. If it changes, each client is registered again
   * when the next person logs in with it, and its former registration is deleted. Default: empty.
   */
  registrationGeneration?: string
  /** How long each request to it may take. Default: 10. */
  timeoutSeconds?: number
  /** Used instead of the global `fetch`: for a proxy, a client certificate, or the upstream of a test. */
  fetch?: typeof fetch
}

/**
 * Decides what a person who logged in may do here: called once for every login, and again for every refresh of our
 * tokens, with claims as they are by then. It comes after the policy. Pass it as `authorizeGrant` of `mcpService`. If
 * it refuses a refresh, the login ends everywhere; if it throws, the login or refresh fails, and a login that stands
 * stays.
 * @example
 * ```ts
 * import type { AuthorizeGrant } from 'fastify-mcp-oauth'
 *
 * const admins = new Set(['alice@example.com'])
 *
 * export const authorizeGrant: AuthorizeGrant = ({ claims, requestedScopes }) => {
 *   const { email } = claims
 *   if (typeof email !== 'string') return { allow: false, reason: 'Your account has no email address.' }
 *   if (admins.has(email)) return { allow: true }
 *   return { allow: true, scopes: requestedScopes.filter(scope => scope !== 'admin') }
 * }
 * ```
 */
export type AuthorizeGrant = (attempt: {
  /** Identity claims from the upstream. */
  claims: Readonly<Record<string, unknown>>
  client: { clientId: string, clientName?: string }
  /** The MCP endpoint that the login is for (RFC 8707). */
  resource: string
  /** At a refresh: those of the login. */
  requestedScopes: readonly string[]
  reason: 'login' | 'refresh'
  /** The person's access token at the login server, to ask it for more; undefined if none works. */
  getUpstreamAccessToken: () => Promise<string | undefined>
}) => AuthorizeGrantDecision | Promise<AuthorizeGrantDecision>

/**
 * `scopes`: those granted, out of those requested; absent: all of them. The `reason` is shown to the client and the
 * person.
 * @example
 * ```ts
 * import type { AuthorizeGrantDecision } from 'fastify-mcp-oauth'
 *
 * export function decide (email: string): AuthorizeGrantDecision {
 *   return email.endsWith('@example.com')
 *     ? { allow: true, scopes: ['notes:read'] }
 *     : { allow: false, reason: 'Only members of Example Ltd. may log in.' }
 * }
 * ```
 */
export type AuthorizeGrantDecision = { allow: true, scopes?: readonly string[] } | { allow: false, reason?: string }

/**
 * Lifetimes, in seconds. Pass some of them as `lifetimes` of `mcpService`.
 * @example
 * ```ts
 * import type { BrokerLifetimes } from 'fastify-mcp-oauth'
 *
 * // log in again every week
 * export const lifetimes: Partial<BrokerLifetimes> = { accessTokenSeconds: 900, grantSeconds: 7 * 86_400 }
 * ```
 */
export interface BrokerLifetimes {
  /** Of an access token. */
  accessTokenSeconds: number
  /** Of a refresh token that is not used. */
  refreshTokenSeconds: number
  /** Of a login, however often it is refreshed. */
  grantSeconds: number
  /** Of an authorization code. */
  authorizationCodeSeconds: number
  /** From `/authorize` to `/oauth/callback`. */
  authorizationSeconds: number
  /** Of a registration that leads to no login. */
  unusedClientSeconds: number
  /** Of a registration after its client was given tokens last; never shorter than `refreshTokenSeconds` and a week. */
  clientSeconds: number
  /** How long a rotated refresh token gives the same response again (clients refresh in parallel). */
  refreshTokenReuseSeconds: number
  /** Of a consent that the person asked us to remember. */
  consentSeconds: number
}

/** Milliseconds before which "Allow" on the consent page does not count, if the issuer is not on loopback. */
export const CONSENT_DELAY_MS = 500
export const MAX_CONSENT_DELAY_MS = 10_000

export const defaultLifetimes: BrokerLifetimes = {
  accessTokenSeconds: 3600,
  refreshTokenSeconds: 30 * 86_400,
  grantSeconds: 180 * 86_400,
  authorizationCodeSeconds: 60,
  authorizationSeconds: 600,
  unusedClientSeconds: 3600,
  clientSeconds: 90 * 86_400,
  refreshTokenReuseSeconds: 60,
  consentSeconds: 30 * 86_400
}

export interface BrokerOptions {
  /** Our issuer: the URL of our endpoints as clients see it, without a trailing slash. */
  issuer: string
  /** What tokens are issued for: the MCP servers behind this authorization server. */
  servers: readonly ProtectedServer[]
  /** The authorization server where people log in. */
  upstream: UpstreamOptions
  /** Stores for clients, logins and tokens. */
  stores: BrokerStores
  /** Keys that seal and sign. */
  keyring: Keyring
  log: BrokerLog
  /** What scopes mean, for the consent page. */
  scopeDescriptions?: Readonly<Record<string, string>>
  /** Whether people are asked for consent where each client has a registration of its own upstream. Default: true. */
  consentInDynamicMode?: boolean
  /** Milliseconds before which "Allow" on the consent page is ignored, as unread. Default: 500, on loopback 0. */
  consentDelayMs?: number
  /** Private-use URI schemes (RFC 8252 7.1) that redirect URIs may have. */
  redirectSchemes?: readonly string[]
  /** Clients known beforehand. */
  clients?: readonly PreregisteredClient[]
  /** With one of them clients may register if the policy has `clients: { registration: 'token' }` (RFC 7591 3). */
  initialAccessTokens?: readonly string[]
  /**
   * Whether clients may identify themselves by the URL of a metadata document, which is then fetched from the internet.
   * Default: true.
   */
  clientMetadataDocuments?: boolean
  /** The proxy to the internet: for metadata documents, key sets, and the upstream unless it has a `fetch`. */
  proxy?: ProxyOptions
  /** Whether client ID metadata documents may be on loopback: only if `publicUrl` is, too. Default: false. */
  allowLoopbackClients?: boolean
  /** Which clients may be used; who may log in to a server, its own policy says. Default: all clients. */
  policy?: Policy
  /** Decides what a person who logged in may do here. Default: all that was asked for. */
  authorizeGrant?: AuthorizeGrant
  /** Called with every request to the upstream, for metrics. */
  upstreamObserver?: UpstreamObserver
  /** Called with every step of every login, in this process. */
  observers?: readonly BrokerObserver[]
  /** Whether to record in the stores how logins go. Default: false. */
  recordAttempts?: boolean
  /**
   * Requests to one endpoint in a minute, by an unproven address or by a person. A client that has proven its secret
   * may make ten times as many. Default: 300.
   */
  requestsPerMinute?: number
  /** Lifetimes of tokens, logins and registrations. */
  lifetimes?: Partial<BrokerLifetimes>
}
