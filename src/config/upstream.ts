import { ConfigError } from '../errors.js'
import { parseClientKey, type CLIENT_AUTH_METHODS } from '../oauth/upstream/client-authentication.js'
import { findTenantsFault, isTenant, TENANT } from '../oauth/upstream/tenants.js'
import { findUpstreamFault } from '../validation/upstream.js'
import { isScopeToken } from '../validation/values.js'
import type { Environment } from './environment.js'
import { checked, checkList, parseCredential, parseInternalUrl, parseUrl, split } from './values.js'

/** The upstream authorization server. */
export interface UpstreamConfig {
  issuerUrl?: URL
  /** Where this service reaches it. */
  internalUrl?: URL
  /** `issuerUrl`, exactly as configured: tokens contain it in this spelling. */
  issuer?: string
  authorizationUrl?: URL
  tokenUrl?: URL
  registrationUrl?: URL
  revocationUrl?: URL
  userinfoUrl?: URL
  subjectClaim?: string
  clientId?: string
  clientSecret?: string
  scopes: string[]
  extraAuthorizeParams: Record<string, string>
  registrationGeneration?: string
  clientAuthMethod?: typeof CLIENT_AUTH_METHODS[number]
  clientKey?: string
  allowMissingNonce?: boolean
  pkce?: boolean
  allowedTenants?: string[]
}

const UPSTREAM_VARIABLES = {
  issuerUrl: 'OAUTH_ISSUER_URL',
  internalUrl: 'OAUTH_INTERNAL_URL',
  authorizationUrl: 'OAUTH_AUTHORIZATION_URL',
  tokenUrl: 'OAUTH_TOKEN_URL',
  registrationUrl: 'OAUTH_REGISTRATION_URL',
  clientId: 'OAUTH_CLIENT_ID',
  clientSecret: 'OAUTH_CLIENT_SECRET'
}

const isSomeText = (value: string) => value.trim() !== ''

/** The upstream, if one is configured. */
export function parseUpstream (env: Environment): UpstreamConfig | undefined {
  const urls = parseUpstreamUrls(env)
  const clientId = parseCredential('OAUTH_CLIENT_ID', env.OAUTH_CLIENT_ID)
  const clientSecret = parseCredential('OAUTH_CLIENT_SECRET', env.OAUTH_CLIENT_SECRET)
  const { issuerUrl, internalUrl, authorizationUrl, tokenUrl, registrationUrl } = urls
  const named = [issuerUrl, internalUrl, authorizationUrl, tokenUrl, clientSecret].some(value => value !== undefined)
  if (!named) {
    if (clientId !== undefined) {
      throw new ConfigError(
        'OAUTH_CLIENT_ID is set, but no upstream is; ' +
          'set OAUTH_ISSUER_URL (or OAUTH_AUTHORIZATION_URL and OAUTH_TOKEN_URL) too.'
      )
    }
    return undefined
  }
  const fault = findUpstreamFault(
    { issuerUrl, internalUrl, authorizationUrl, tokenUrl, registrationUrl, clientId, clientSecret },
    option => UPSTREAM_VARIABLES[option]
  )
  if (fault !== undefined) throw new ConfigError(fault)
  const scopes = [
    ...new Set(checkList('OAUTH_SCOPES', split(env.OAUTH_SCOPES, ' '), isScopeToken, 'scopes, separated by spaces'))
  ]
  return {
    ...urls,
    ...env.OAUTH_ISSUER_URL !== undefined && { issuer: env.OAUTH_ISSUER_URL },
    subjectClaim: checked('OAUTH_SUBJECT_CLAIM', env.OAUTH_SUBJECT_CLAIM, isSomeText, 'the name of a claim'),
    ...clientId !== undefined && { clientId },
    ...clientSecret !== undefined && { clientSecret },
    scopes,
    ...parseTenants(env, issuerUrl, scopes),
    ...parseClientAuthentication(env),
    allowMissingNonce: env.OAUTH_ALLOW_MISSING_NONCE,
    pkce: env.OAUTH_PKCE === 'on',
    registrationGeneration: env.OAUTH_REGISTRATION_GENERATION,
    extraAuthorizeParams: Object.fromEntries(new URLSearchParams(env.OAUTH_EXTRA_AUTHORIZE_PARAMS))
  }
}

const TENANT_VARIABLES = {
  issuerUrl: 'OAUTH_ISSUER_URL',
  allowedTenants: 'OAUTH_ALLOWED_TENANTS',
  scopes: 'OAUTH_SCOPES'
}

/** Whose people may log in, where the issuer is that of many tenants. */
function parseTenants (
  { OAUTH_ALLOWED_TENANTS: value, AUTH_MODE: mode }: Environment,
  issuerUrl: URL | undefined,
  scopes: readonly string[]
): Pick<UpstreamConfig, 'allowedTenants'> {
  const allowedTenants = checkList('OAUTH_ALLOWED_TENANTS', split(value, ','), isTenant, TENANT)
  const fault = findTenantsFault(
    { issuerUrl, allowedTenants, ...mode === 'broker' && { scopes } },
    option => TENANT_VARIABLES[option]
  )
  if (fault !== undefined) throw new ConfigError(fault)
  return allowedTenants.length === 0 ? {} : { allowedTenants }
}

const ALIASES = { basic: 'client_secret_basic', post: 'client_secret_post' } as const

/** How our client authenticates, if that was chosen. */
function parseClientAuthentication (env: Environment): Pick<UpstreamConfig, 'clientAuthMethod' | 'clientKey'> {
  const { OAUTH_CLIENT_AUTH_METHOD: chosen, OAUTH_CLIENT_KEY: clientKey, OAUTH_CLIENT_SECRET: secret } = env
  const method = chosen === 'basic' || chosen === 'post' ? ALIASES[chosen] : chosen
  if (method === 'private_key_jwt') {
    if (clientKey === undefined) {
      throw new ConfigError('OAUTH_CLIENT_KEY is not set; OAUTH_CLIENT_AUTH_METHOD=private_key_jwt needs it.')
    }
    try {
      parseClientKey(clientKey)
    } catch {
      throw new ConfigError('OAUTH_CLIENT_KEY is not valid; it takes a private key as PEM (PKCS 8), or as a JWK.')
    }
    return { clientAuthMethod: method, clientKey }
  }
  if (method === 'auto') return {}
  if (method !== 'none' && secret === undefined) {
    throw new ConfigError(`OAUTH_CLIENT_SECRET is not set; OAUTH_CLIENT_AUTH_METHOD=${chosen} needs it.`)
  }
  return { clientAuthMethod: method }
}

/** Those of the upstream's URLs that are set. */
function parseUpstreamUrls (env: Environment) {
  const issuerUrl = parseUrl('OAUTH_ISSUER_URL', env.OAUTH_ISSUER_URL)
  const internalUrl = parseInternalUrl('OAUTH_INTERNAL_URL', env.OAUTH_INTERNAL_URL)
  const authorizationUrl = parseUrl('OAUTH_AUTHORIZATION_URL', env.OAUTH_AUTHORIZATION_URL)
  const tokenUrl = parseUrl('OAUTH_TOKEN_URL', env.OAUTH_TOKEN_URL)
  const registrationUrl = parseUrl('OAUTH_REGISTRATION_URL', env.OAUTH_REGISTRATION_URL)
  const revocationUrl = parseUrl('OAUTH_REVOCATION_URL', env.OAUTH_REVOCATION_URL)
  const userinfoUrl = parseUrl('OAUTH_USERINFO_URL', env.OAUTH_USERINFO_URL)
  return {
    ...issuerUrl && { issuerUrl },
    ...internalUrl && { internalUrl },
    ...authorizationUrl && { authorizationUrl },
    ...tokenUrl && { tokenUrl },
    ...registrationUrl && { registrationUrl },
    ...revocationUrl && { revocationUrl },
    ...userinfoUrl && { userinfoUrl }
  }
}
