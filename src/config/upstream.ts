import { ConfigError } from '../errors.js'
import { parseClientKey, type CLIENT_AUTH_METHODS } from '../oauth/upstream/client-authentication.js'
import { toUpstreamSettings } from '../oauth/upstream-settings.js'
import type { ProviderName } from '../oauth/providers/providers.js'
import { findTenantsFault, isTenant, TENANT } from '../oauth/upstream/tenants.js'
import { findUpstreamFault } from '../validation/upstream.js'
import { isScopeToken } from '../validation/values.js'
import type { Environment } from './environment.js'
import { checkProvider, expandIssuer } from './provider.js'
import { checked, checkList, parseCredential, parseInternalUrl, parseUrl, split } from './values.js'

/** The upstream authorization server. */
export interface UpstreamConfig {
  provider?: ProviderName
  issuerUrl?: URL
  /** Where this service reaches it. */
  internalUrl?: URL
  /** `issuerUrl`, exactly as configured or preset: tokens contain it in this spelling. */
  issuer?: string
  authorizationUrl?: URL
  tokenUrl?: URL
  registrationUrl?: URL
  revocationUrl?: URL
  userinfoUrl?: URL
  subjectClaim?: string
  groupsClaim?: string
  clientId?: string
  clientSecret?: string
  scopes: readonly string[]
  extraAuthorizeParams?: Readonly<Record<string, string>>
  registrationGeneration?: string
  clientAuthMethod?: typeof CLIENT_AUTH_METHODS[number] | 'auto'
  clientKey?: string
  allowMissingNonce?: boolean
  pkce?: boolean
  allowedTenants?: readonly string[]
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

/** The upstream, if one is configured: what the environment says, and what OAUTH_PROVIDER adds. */
export function parseUpstream (environment: Environment): UpstreamConfig | undefined {
  const env = expandIssuer(environment)
  const urls = parseUpstreamUrls(env)
  const clientId = parseCredential('OAUTH_CLIENT_ID', env.OAUTH_CLIENT_ID)
  const clientSecret = parseCredential('OAUTH_CLIENT_SECRET', env.OAUTH_CLIENT_SECRET)
  const { OAUTH_PROVIDER: provider } = env
  const named = [
    provider,
    urls.issuerUrl,
    urls.internalUrl,
    urls.authorizationUrl,
    urls.tokenUrl,
    clientSecret
  ].some(value => value !== undefined)
  if (!named) {
    if (clientId !== undefined) {
      throw new ConfigError(
        'OAUTH_CLIENT_ID is set, but no upstream is; ' +
          'set OAUTH_PROVIDER, or OAUTH_ISSUER_URL (or OAUTH_AUTHORIZATION_URL and OAUTH_TOKEN_URL) too.'
      )
    }
    return undefined
  }
  const settings = toUpstreamSettings({
    ...provider && { provider },
    ...urls,
    ...clientId !== undefined && { clientId },
    ...clientSecret !== undefined && { clientSecret },
    ...parseRequests(env),
    ...parseClientAuthentication(env),
    ...parseTenants(env),
    registrationGeneration: env.OAUTH_REGISTRATION_GENERATION
  })
  if (provider !== undefined) checkProvider(provider, settings)
  const fault = findUpstreamFault(settings, option => UPSTREAM_VARIABLES[option])
  if (fault !== undefined) throw new ConfigError(fault)
  checkTenants(env, settings)
  const issuer = env.OAUTH_ISSUER_URL ?? settings.issuerUrl?.href.replace(/\/$/, '')
  return { ...settings, ...issuer !== undefined && { issuer } }
}

/** What is asked of the upstream, and read from its responses; only what is set. */
function parseRequests (env: Environment) {
  const { OAUTH_SUBJECT_CLAIM: subject, OAUTH_GROUPS_CLAIM: groups, OAUTH_SCOPES: scopes } = env
  const { OAUTH_EXTRA_AUTHORIZE_PARAMS: extra, OAUTH_ALLOW_MISSING_NONCE: allowMissingNonce, OAUTH_PKCE: pkce } = env
  const claim = 'the name of a claim'
  return {
    ...subject !== undefined && { subjectClaim: checked('OAUTH_SUBJECT_CLAIM', subject, isSomeText, claim) },
    ...groups !== undefined && { groupsClaim: checked('OAUTH_GROUPS_CLAIM', groups, isSomeText, claim) },
    ...scopes !== undefined && {
      scopes: [
        ...new Set(checkList('OAUTH_SCOPES', split(scopes, ' '), isScopeToken, 'scopes, separated by spaces'))
      ]
    },
    ...extra !== undefined && { extraAuthorizeParams: Object.fromEntries(new URLSearchParams(extra)) },
    ...allowMissingNonce !== undefined && { allowMissingNonce },
    ...pkce !== undefined && { pkce: pkce === 'on' }
  }
}

const TENANT_VARIABLES = {
  issuerUrl: 'OAUTH_ISSUER_URL',
  allowedTenants: 'OAUTH_ALLOWED_TENANTS',
  scopes: 'OAUTH_SCOPES'
}

/** Whose people may log in, where the issuer is that of many tenants. */
function parseTenants ({ OAUTH_ALLOWED_TENANTS: value }: Environment): Pick<UpstreamConfig, 'allowedTenants'> {
  const allowedTenants = checkList('OAUTH_ALLOWED_TENANTS', split(value, ','), isTenant, TENANT)
  return allowedTenants.length === 0 ? {} : { allowedTenants }
}

function checkTenants (
  { AUTH_MODE: mode }: Environment,
  { issuerUrl, allowedTenants = [], scopes }: Pick<UpstreamConfig, 'issuerUrl' | 'scopes'> & {
    allowedTenants?: readonly string[]
  }
): void {
  const fault = findTenantsFault(
    { issuerUrl, allowedTenants, ...mode === 'broker' && { scopes } },
    option => TENANT_VARIABLES[option]
  )
  if (fault !== undefined) throw new ConfigError(fault)
}

const ALIASES = { basic: 'client_secret_basic', post: 'client_secret_post' } as const

/** How our client authenticates, if that was chosen. */
function parseClientAuthentication (env: Environment): Pick<UpstreamConfig, 'clientAuthMethod' | 'clientKey'> {
  const { OAUTH_CLIENT_AUTH_METHOD: chosen, OAUTH_CLIENT_KEY: clientKey, OAUTH_CLIENT_SECRET: secret } = env
  if (chosen === undefined) return {}
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
  if (method === 'auto') return { clientAuthMethod: method }
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
