import { InvalidRedirectUriError } from '../../errors.js'
import { isLoopbackHost, isSameButForPort } from '../../loopback.js'
import { isRedirectScheme } from './redirect-schemes.js'

const MAX_LENGTH = 2048

/** Where a redirect URI leads: to a website, to an application on this machine by port, or by its own scheme. */
export type RedirectKind = 'web' | 'loopback' | 'private-use'

/** Whether the host of an http or https URL is a name or an address, and nothing that a header or a page could take for more. */
export function hasPlainHost ({ hostname }: URL): boolean {
  return /^([a-z0-9._-]+|\[[0-9a-f:]+\])$/.test(hostname)
}

/** Whether an http or https URI is written as the URL parser reads it, up to its path: `127.1`, `%61pp.example` and `https:app.example` are not. */
function isWrittenOut (uri: string, url: URL): boolean {
  const [, host = ''] = /^https?:\/\/([^/?:[]+|\[[^\]]+\])(?::\d{1,5})?(?:[/?]|$)/i.exec(uri) ?? []
  return host.toLowerCase() === url.hostname && hasPlainHost(url)
}

/**
 * Checks a redirect URI at registration.
 * @param schemes private-use schemes allowed
 * @throws {InvalidRedirectUriError}
 */
export function checkRedirectUri (uri: string, schemes: readonly string[]): RedirectKind {
  // an error_description holds nothing else (RFC 6749 5.2), and a page that shows it is read as it is written
  const shown = uri.slice(0, 200).replace(/[^\x20-\x7e]|["\\]/g, '?')
  const refuse = (why: string) => new InvalidRedirectUriError(`The redirect URI ${shown} ${why}.`)
  // what the URL parser would mend silently is refused: browsers, servers and people must read the same thing
  if (uri.length > MAX_LENGTH || !/^[\x21-\x7E]+$/.test(uri) || /[\\"<>^`{|}]/.test(uri) || !URL.canParse(uri)) {
    throw refuse('is not a valid URI')
  }
  const url = new URL(uri)
  if (uri.includes('#')) throw refuse('must not have a fragment')
  if (url.username !== '' || url.password !== '' || /^[a-z0-9+.-]+:\/\/[^/?]*@/i.test(uri)) {
    throw refuse('must not contain user information')
  }
  if (/%2e|\/\.\.?(\/|$|\?)/i.test(uri.split('?')[0] ?? '')) throw refuse('must not contain dot segments')
  const scheme = url.protocol.slice(0, -1)
  if (/^https?$/.test(scheme) && !isWrittenOut(uri, url)) throw refuse('must name its host in plain form')
  if (scheme === 'https') return isLoopbackHost(url.hostname) ? 'loopback' : 'web'
  if (scheme === 'http') {
    if (!isLoopbackHost(url.hostname)) throw refuse('must use https: http is for loopback addresses only')
    return 'loopback'
  }
  if (!isRedirectScheme(scheme) || !schemes.includes(scheme)) {
    throw refuse(`has the scheme ${scheme}:, which is not allowed here`)
  }
  return 'private-use'
}

/** Where a redirect URI that has been checked leads. */
export function classifyRedirectUri (uri: string): RedirectKind {
  const { protocol, hostname } = new URL(uri)
  if (protocol !== 'https:' && protocol !== 'http:') return 'private-use'
  return isLoopbackHost(hostname) ? 'loopback' : 'web'
}

/** Whether a requested redirect URI is a registered one: exactly, but for the port of a loopback one (RFC 8252 7.3). */
export function matchesRedirectUri (requested: string, registered: string): boolean {
  return requested === registered || isSameButForPort(requested, registered)
}

/** A redirect URI with further query parameters; what it has already stays as it is. */
export function withParameters (redirectUri: string, parameters: Record<string, string | undefined>): string {
  const query = new URLSearchParams()
  for (const [name, value] of Object.entries(parameters)) if (value !== undefined) query.set(name, value)
  const separator = redirectUri.includes('?') ? (/[?&]$/.test(redirectUri) ? '' : '&') : '?'
  return `${redirectUri}${separator}${query}`
}
