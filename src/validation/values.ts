import { isIP } from 'node:net'
import { isLoopbackHost } from '../loopback.js'
import { isInternalHost } from '../outbound/internal-hosts.js'
import { canonicalAuthority, canonicalOrigin, parseOriginPattern } from './authorities.js'

/** What single values may be, whether they come from the environment or as options of a plugin. */

/** In words, what `isSecureUrl` takes. */
export const SECURE_URL = 'an https URL (http only on loopback)'
/** In words, what `isHttpUrl` takes. */
export const HTTP_URL = 'an http or https URL, such as http://localhost:8000/mcp'
/** In words, what `isInternalUrl` takes. */
export const INTERNAL_URL = 'an https URL, or an http URL of a private address or an internal name, such as ' +
  'http://keycloak:8080'
/** In words, what `isProxyUrl` takes. */
export const PROXY_URL = 'the http or https URL of a proxy, such as http://proxy.example.com:3128'
/** In words, what `isAdminToken` takes. */
export const ADMIN_TOKEN = 'at least 16 characters, all of them printable ASCII without spaces'
/** In words, what `isServiceSecret` takes. */
export const SERVICE_SECRET = 'a secret of at least 16 characters'
/** In words, what `isScopeToken` takes. */
export const SCOPE = 'a scope: printable ASCII without spaces, " and \\'
/** In words, what `isOrigin` takes. */
export const ORIGIN = 'an origin such as https://app.example.com, without a path; https://*.example.com for all ' +
  'names under a domain; or *'
/** In words, what `isHost` takes. */
export const HOST = 'a host with or without a port, such as mcp.example.com:8080, or *'

/** The longest that a timer of Node.js takes; a longer one fires at once. */
export const MAX_TIMER_MS = 2_147_483_647
export const MAX_TIMER_SECONDS = Math.floor(MAX_TIMER_MS / 1000)
/** Ten years, in seconds: the longest that anything is kept. */
export const MAX_LIFETIME_SECONDS = 315_360_000

// what the URL parser would mend is refused: a slash too few, spaces, control characters
const WRITTEN_OUT = /^https?:\/\/[^\s/\\?#]/i

/**
 * Whether this is an absolute URL that clients and servers may be sent to: https, or http to this machine, without user
 * information and fragment.
 */
export function isSecureUrl (value: string): boolean {
  return isUrlOf(value, isLoopbackHost)
}

/**
 * Whether this is the URL of a server in our own network: https, or http to a private address, to this machine, or to a
 * name that only a local network has; without user information, query and fragment.
 */
export function isInternalUrl (value: string): boolean {
  return isUrlOf(value, isInternalHost) && !value.includes('?')
}

function isUrlOf (value: string, mayBePlain: (hostname: string) => boolean): boolean {
  if (!WRITTEN_OUT.test(value) || !URL.canParse(value)) return false
  const { protocol, hostname, hash, username, password } = new URL(value)
  return (protocol === 'https:' || mayBePlain(hostname)) && hash === '' && !value.includes('#') &&
    username === '' && password === ''
}

/** Whether this is any http or https URL, without user information and fragment. */
export function isHttpUrl (value: string): boolean {
  return isUrlOf(value, () => true)
}

/** Whether this is the URL of an app: a secure URL without a query. */
export function isBaseUrl (value: string): boolean {
  return isSecureUrl(value) && !value.includes('?')
}

/**
 * Whether this is an origin, in any spelling, also those of applications such as `vscode-webview://…`; all that are
 * under a domain (`https://*.example.com`); or `*`.
 */
export function isOrigin (value: string): boolean {
  return value === '*' || canonicalOrigin(value) !== undefined || parseOriginPattern(value) !== undefined
}

/** Whether this is a `Host` header, or `*`. */
export function isHost (value: string): boolean {
  return value === '*' || (!value.endsWith(':') && canonicalAuthority(value, 'https:') !== undefined)
}

/** Whether this is a scope-token of RFC 6749 3.3. */
export function isScopeToken (value: string): boolean {
  return /^[\x21\x23-\x5B\x5D-\x7E]+$/.test(value)
}

/** Whether this cannot be guessed: short tokens are. */
export function isAdminToken (value: string): boolean {
  return /^[\x21-\x7e]{16,}$/.test(value)
}

/** Whether a service of the operator may have this secret. */
export function isServiceSecret (value: string): boolean {
  return value.length >= 16
}

/** Whether this can be a client id or a client secret at an authorization server: they name them as they like. */
export function isClientCredential (value: string): boolean {
  return value.trim() !== '' && !/\p{Cc}/u.test(value)
}

/** Whether Fastify can trust a proxy by this: an address, a range of addresses (CIDR), or a name for some. */
export function isProxyAddress (value: string): boolean {
  if (['loopback', 'linklocal', 'uniquelocal'].includes(value)) return true
  const [, address = '', bits] = /^([\da-fA-F:.]+)(?:\/(\d{1,3}))?$/.exec(value) ?? []
  const longest = { 0: 0, 4: 32, 6: 128 }[isIP(address)] ?? 0
  return longest > 0 && (bits === undefined || (Number(bits) > 0 && Number(bits) <= longest))
}

/** In words, what `isKeyPrefix` takes. */
export const KEY_PREFIX = 'up to 64 letters, digits and . : / _ -'

/** Whether keys of Redis may begin with this; braces would change what a cluster hashes. */
export function isKeyPrefix (value: string): boolean {
  return /^[\w.:/-]{1,64}$/.test(value)
}

/** Whether a value may be the path of a file. */
export function isPath (value: string): boolean {
  return value !== '' && value.length <= 4096 && !value.includes('\0')
}

/** Whether a value is the URL of a proxy that takes CONNECT. */
export function isProxyUrl (value: string): boolean {
  if (!URL.canParse(value)) return false
  const { protocol, pathname, search, hash, hostname } = new URL(value)
  return /^https?:$/.test(protocol) && hostname !== '' && (pathname === '/' || pathname === '') && search === '' &&
    hash === ''
}
