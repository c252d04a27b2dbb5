import type { UpstreamOptions } from '../../src/oauth/options.js'
import { ScriptableUpstream, type ScriptableUpstreamOptions } from '../../src/testing/index.js'

/** Two tenants of Entra, and another one. */
export const CONTOSO = '6f1d2c3b-4a59-4e68-8f70-1b2c3d4e5f60'
export const FABRIKAM = 'a7c5e9d1-0b2f-4c83-9d6e-5f4a3b2c1d0e'
export const STRANGER = '00112233-4455-4677-8899-aabbccddeeff'
/** Microsoft's tenant of personal accounts. */
export const PERSONAL = '9188040d-6c67-4c5b-b112-36a304b66dad'

export interface EntraOptions extends ScriptableUpstreamOptions {
  /** Of the configured issuer. Default: `/common/v2.0`. */
  path?: string
  /** What its metadata name as the issuer. Default: the template of the path. */
  issuer?: string
  /** Claims of ID tokens besides the usual ones, or in their place; undefined leaves one out. */
  tokenClaims?: (subject: string) => Record<string, unknown>
  allowedTenants?: readonly string[]
}

/** The tenant of a person: alice is of the first, bob of the second, anybody else of another. */
export function tenantOf (subject: string): string {
  return new Map([['alice', CONTOSO], ['bob', FABRIKAM]]).get(subject) ?? STRANGER
}

/**
 * An upstream in the shape of Entra's `common` (Microsoft identity platform, OpenID Connect): the issuer of its
 * metadata is a template, that of an ID token is of the person's tenant, and it has neither registration nor
 * revocation.
 */
export function entra (
  options: EntraOptions = {}
): { upstream: ScriptableUpstream, options: Partial<UpstreamOptions> } {
  const { path = '/common/v2.0', issuer, tokenClaims = () => ({}), ...more } = options
  const { allowedTenants = [CONTOSO, FABRIKAM] } = options
  const origin = more.origin ?? 'https://login.microsoftonline.com'
  const template = issuer ?? origin + path.replace(/\/(common|organizations|consumers)/i, '/{tenantid}')
  const upstream = new ScriptableUpstream({
    origin,
    path,
    ...more,
    metadata: {
      issuer: template,
      registration_endpoint: undefined,
      revocation_endpoint: undefined,
      code_challenge_methods_supported: undefined,
      ...more.metadata
    },
    idTokenClaims: subject => {
      const claims = { tid: tenantOf(subject), ...tokenClaims(subject) }
      return { name: subject, iss: template.replace('{tenantid}', String(claims.tid)), ...claims }
    }
  })
  upstream.clients.addByHand('http://localhost:5050', { authMethod: 'client_secret_basic' })
  return {
    upstream,
    options: {
      issuerUrl: new URL(upstream.issuer),
      clientId: 'us',
      clientSecret: 'shh',
      fetch: upstream.fetch,
      ...allowedTenants.length > 0 && { allowedTenants }
    }
  }
}
