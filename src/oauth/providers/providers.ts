import { getMember } from '../../members.js'
import { auth0 } from './auth0.js'
import { cognito } from './cognito.js'
import { discord } from './discord.js'
import { entra } from './entra.js'
import { github } from './github.js'
import { gitlab } from './gitlab.js'
import { google } from './google.js'
import { keycloak } from './keycloak.js'
import { linkedin } from './linkedin.js'
import { okta } from './okta.js'
import type { Provider } from './provider.js'

/** Kinds of login servers that need few settings. */
export const PROVIDER_NAMES = [
  'google',
  'github',
  'entra',
  'auth0',
  'okta',
  'keycloak',
  'cognito',
  'gitlab',
  'discord',
  'linkedin'
] as const

/**
 * A kind of login server that needs few settings: `provider` of `UpstreamOptions`.
 * @example
 * ```ts
 * import type { ProviderName } from 'fastify-mcp-oauth'
 *
 * export const provider: ProviderName = 'github'
 * ```
 */
export type ProviderName = typeof PROVIDER_NAMES[number]

const providers: Readonly<Record<ProviderName, Provider>> = {
  google,
  github,
  entra,
  auth0,
  okta,
  keycloak,
  cognito,
  gitlab,
  discord,
  linkedin
}

/** What is known of a kind of login server. */
export function findProvider (name: ProviderName): Provider {
  return providers[name]
}

/** Options of an upstream with what the preset adds to them: nothing that they say themselves is changed. */
export function withPreset<T extends { provider?: ProviderName }> (options: T): T & Provider['preset'] {
  if (options.provider === undefined) return options
  const { preset } = findProvider(options.provider)
  const missing = Object.entries(preset).filter(([name]) => getMember(options, name) === undefined)
  return { ...preset, ...options, ...Object.fromEntries(missing) }
}

/** The scopes that say groups, if they are to be asked for besides: not if the operator has chosen the scopes. */
export function findGroupScopes (
  { provider, scopes }: { provider?: ProviderName, scopes: readonly string[] },
  supported: readonly string[] | undefined
): readonly string[] {
  if (provider === undefined) return []
  const { preset, groupScopes = [], areGroupScopesListed = false } = findProvider(provider)
  if (scopes.join(' ') !== preset.scopes?.join(' ')) return []
  return groupScopes.filter(scope => !areGroupScopesListed || supported?.includes(scope) === true)
}
