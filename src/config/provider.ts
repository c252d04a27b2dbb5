import { ConfigError } from '../errors.js'
import { findProvider, type ProviderName } from '../oauth/providers/providers.js'
import type { Environment } from './environment.js'

/** The environment with the whole issuer, where OAUTH_ISSUER_URL is only what identifies one instance. */
export function expandIssuer (env: Environment): Environment {
  const { OAUTH_PROVIDER: provider, OAUTH_ISSUER_URL: text } = env
  if (provider === undefined || text === undefined) return env
  const issuer = findProvider(provider).findIssuer?.(text)
  return issuer === undefined ? env : { ...env, OAUTH_ISSUER_URL: issuer }
}

/**
 * Checks what a preset cannot know.
 * @throws {ConfigError} with one line that names the variable and what it takes
 */
export function checkProvider (
  provider: ProviderName,
  { issuerUrl, authorizationUrl, clientId }: { issuerUrl?: URL, authorizationUrl?: URL, clientId?: string }
): void {
  const { instance, registers } = findProvider(provider)
  if (instance !== undefined && issuerUrl === undefined && authorizationUrl === undefined) {
    throw new ConfigError(`OAUTH_ISSUER_URL is not set; OAUTH_PROVIDER=${provider} needs it: ${instance}.`)
  }
  if (!registers && clientId === undefined) {
    throw new ConfigError(
      `OAUTH_CLIENT_ID is not set; OAUTH_PROVIDER=${provider} needs it, because clients cannot register there.`
    )
  }
}
