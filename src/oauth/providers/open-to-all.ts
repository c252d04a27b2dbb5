import type { UpstreamSettings } from '../upstream-settings.js'

/** Where anybody can make an account. Auth0, Cognito and the like may allow sign-up: nobody can see that from here. */
const OPEN_HOSTS: ReadonlySet<string> = new Set([
  'accounts.google.com',
  'oauth2.googleapis.com',
  'github.com',
  'gitlab.com',
  'discord.com',
  'discordapp.com',
  'www.linkedin.com',
  'linkedin.com',
  'www.facebook.com',
  'appleid.apple.com',
  'login.live.com'
])
const MICROSOFT = 'login.microsoftonline.com'
const OPEN_TENANTS: ReadonlySet<string | undefined> = new Set(['common', 'consumers', 'organizations'])

/** The host of an upstream on which anybody can have an account; undefined if it is not known to be one. */
export function findOpenHost (
  { issuerUrl, authorizationUrl }: Pick<UpstreamSettings, 'issuerUrl' | 'authorizationUrl'>
): string | undefined {
  const url = issuerUrl ?? authorizationUrl
  if (url === undefined) return undefined
  const { hostname, pathname } = url
  if (hostname === MICROSOFT) return OPEN_TENANTS.has(pathname.split('/')[1]) ? `${hostname}${pathname}` : undefined
  return OPEN_HOSTS.has(hostname) ? hostname : undefined
}
