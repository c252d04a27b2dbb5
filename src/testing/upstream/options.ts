import type { UpstreamEndpoint, UpstreamOverride } from './requests.js'

/**
 * What kind of authorization server the scriptable upstream is.
 * @example
 * ```ts
 * import { ScriptableUpstream, type ScriptableUpstreamOptions } from 'fastify-mcp-oauth/testing'
 *
 * // OAuth 2 without OpenID Connect, under a path
 * const options: ScriptableUpstreamOptions = {
 *   path: '/tenant',
 *   discovery: ['oauth-authorization-server'],
 *   idTokens: false,
 *   expiresIn: 60
 * }
 * export const upstream = new ScriptableUpstream(options)
 * ```
 */
export interface ScriptableUpstreamOptions {
  /** Default: `https://login.test`. */
  origin?: string
  /** Path of the issuer, such as `/tenant` or `/tenant/`. */
  path?: string
  /** Where it describes itself. Default: by OpenID Connect Discovery. */
  discovery?: Array<'openid-configuration' | 'oauth-authorization-server'>
  /** Laid over its metadata; `undefined` leaves a member out. */
  metadata?: Record<string, unknown>
  /** Whether it issues ID tokens for `openid`. Default: true. */
  idTokens?: boolean
  /** Algorithm of its signatures. Default: ES256. */
  algorithm?: 'RS256' | 'ES256'
  /** Claims of the ID token besides `iss`, `sub` and `aud`, or in their place. Default: name and email. */
  idTokenClaims?: (subject: string) => Record<string, unknown>
  /** Lifetime of access tokens; null: it does not say. Default: 600. */
  expiresIn?: number | null
  /** Whether it gives refresh tokens. Default: true. */
  refreshTokens?: boolean
  /** Access tokens. Default: JWTs (RFC 9068) where a client asks for a `resource`, else opaque ones. */
  accessToken?: (subject: string) => string | Promise<string>
  /** What its endpoints do instead of the usual. */
  overrides?: Partial<Record<UpstreamEndpoint, UpstreamOverride>>
}
