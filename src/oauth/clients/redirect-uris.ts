import { InvalidRedirectUriError } from '../../errors.js'
import { isLoopbackHost, isSameButForPort } from '../../loopback.js'
import { isRedirectScheme } from './redirect-schemes.js'

const MAX_LENGTH = 2048

/** Where a redirect URI leads: to a website, to an application on this machine by port, or by its own scheme. */
export type RedirectKind = 'web' | 'loopback' | 'private-use'

/** Whether the host of a URL is a plain name or IP address: no characters that could break out of a header or HTML. */
export function hasPlainHost ({ hostname }: URL): boolean {
  return /^([a-z0-9._-]+|\[[0-9a-f:]+\])$/.test(hostname)
}

/**
 * Whether an http or https URI spells its scheme and host as the URL parser reads them; `127.1`, `%61pp.example` and
 * `https:app.example` do not.
 */
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
  const objection = findSyntaxObjection(uri) ?? findTargetObjection(new URL(uri), schemes)
  if (objection === undefined) return classifyRedirectUri(uri)
  // an error_description allows only these characters (RFC 6749 5.2)
  const shown = uri.slice(0, 200).replace(/[^\x20-\x7e]|["\\]/g, '?')
  throw new InvalidRedirectUriError(`The redirect URI ${shown} ${objection}.`)
}

/** What is wrong with how a redirect URI is written. */
function findSyntaxObjection (uri: string): string | undefined {
  // the URL parser would repair these silently: browsers, servers and people must read the same URI
  if (uri.length > MAX_LENGTH || !/^[\x21-\x7E]+$/.test(uri) || /[\\"<>^`{|}]/.test(uri) || !URL.canParse(uri)) {
    return 'is not a valid URI'
  }
  const url = new URL(uri)
  if (uri.includes('#')) return 'must not have a fragment'
  if (hasUserInformation(uri, url)) return 'must not contain user information'
  if (/%2e|\/\.\.?(\/|$|\?)/i.test(uri.split('?')[0] ?? '')) return 'must not contain dot segments'
  return /^https?:$/.test(url.protocol) && !isWrittenOut(uri, url) ? 'must name its host in plain form' : undefined
}

function hasUserInformation (uri: string, { username, password }: URL): boolean {
  return username !== '' || password !== '' || /^[a-z0-9+.-]+:\/\/[^/?]*@/i.test(uri)
}

/** What is wrong with where a redirect URI leads. */
function findTargetObjection ({ protocol, hostname }: URL, schemes: readonly string[]): string | undefined {
  if (protocol === 'https:') return undefined
  if (protocol === 'http:') {
    return isLoopbackHost(hostname) ? undefined : 'must use https: http is for loopback addresses only'
  }
  const scheme = protocol.slice(0, -1)
  return isRedirectScheme(scheme) && schemes.includes(scheme)
    ? undefined
    : `has the scheme ${scheme}:, which is not allowed here`
}

/** Where a checked redirect URI leads. */
export function classifyRedirectUri (uri: string): RedirectKind {
  const { protocol, hostname } = new URL(uri)
  if (protocol !== 'https:' && protocol !== 'http:') return 'private-use'
  return isLoopbackHost(hostname) ? 'loopback' : 'web'
}

/** Whether two redirect URIs are the same, except for the port of a loopback address (RFC 8252 7.3). */
export function matchesRedirectUri (requested: string, registered: string): boolean {
  return requested === registered || isSameButForPort(requested, registered)
}

/** Adds query parameters to a redirect URI; its own stay as they are. */
export function withParameters (redirectUri: string, parameters: Record<string, string | undefined>): string {
  const query = new URLSearchParams()
  for (const [name, value] of Object.entries(parameters)) if (value !== undefined) query.set(name, value)
  const separator = redirectUri.includes('?') ? (/[?&]$/.test(redirectUri) ? '' : '&') : '?'
  return `${redirectUri}${separator}${query}`
}
