import { isLoopbackHost } from '../loopback.js'
import { canonicalAuthority, canonicalOrigin, matchesOrigin, parseOriginPattern } from '../validation/authorities.js'

/** In words, what `isClientPattern` takes. */
export const CLIENT_PATTERN = 'a host such as app.example.com, *.example.com for all names under a domain, loopback, ' +
  'a scheme such as cursor:, or a client id'

const SCHEME = /^[a-z][a-z0-9+.-]*:$/

/** Whether this can name clients. */
export function isClientPattern (text: string): boolean {
  if (text.startsWith('*.')) return parseOriginPattern(`https://${text}`) !== undefined
  return text !== '' && !/[\s*\p{Cc}]/u.test(text)
}

/** A client, as far as rules about clients go. */
export interface JudgedClient {
  clientId: string
  kind: 'registered' | 'document' | 'preregistered'
  /** Of those, one must be allowed, unless its id is. */
  redirectUris: readonly string[]
}

/**
 * Whether a client is among those that are allowed: by its id; by the host of its metadata document; or, if it has
 * none, by where its redirect URIs lead.
 */
export function matchesClient (allowed: readonly string[], { clientId, kind, redirectUris }: JudgedClient): boolean {
  if (allowed.includes(clientId)) return true
  return kind === 'document'
    ? allowed.some(pattern => matchesHost(pattern, new URL(clientId)))
    : redirectUris.some(uri => allowed.some(pattern => matchesTarget(pattern, new URL(uri))))
}

function matchesTarget (pattern: string, url: URL): boolean {
  const isWeb = url.protocol === 'https:' || url.protocol === 'http:'
  if (!isWeb) return SCHEME.test(pattern) && pattern === url.protocol
  // any program on the machine can have any port: a name for it says nothing of who it is
  return isLoopbackHost(url.hostname) ? pattern === 'loopback' : matchesHost(pattern, url)
}

function matchesHost (text: string, { protocol, host }: URL): boolean {
  if (text === 'loopback' || SCHEME.test(text)) return false
  if (!text.startsWith('*.')) return canonicalAuthority(text, protocol) === canonicalAuthority(host, protocol)
  const pattern = parseOriginPattern(`${protocol}//${text}`)
  const origin = canonicalOrigin(`${protocol}//${host}`)
  return pattern !== undefined && origin !== undefined && matchesOrigin(pattern, origin)
}
