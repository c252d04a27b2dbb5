/*
 * Authorities and origins that are spelled differently and are the same: the default port, upper case, the dot at the
 * end of a full name, IP addresses (RFC 3986 6.2.2.1 and 6.2.3; RFC 9110 4.2.3).
 */

const HOST_HEADER = /^(?:\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::\d{0,5})?$/i
const ORIGIN = /^([a-z][a-z0-9+.-]*):\/\/([^/?#@\\\s]+)$/i
// extensions and webviews: a name of their own, or an id
const OTHER_AUTHORITY = /^[a-z0-9._-]+(?::\d{1,5})?$/i
// no page has an origin of these schemes
const NEVER_AN_ORIGIN = new Set(['about', 'blob', 'data', 'file', 'ftp', 'javascript', 'ws', 'wss'])
const PATTERN = /^(https?:\/\/)\*\.(.+)$/i
const LABELS = /^[a-z0-9_-]+(?:\.[a-z0-9_-]+)*$/

/**
 * The one spelling of a host with or without a port.
 * @param protocol whose default port is left out: `https:`
 * @returns undefined if it is not an authority without user information
 */
export function canonicalAuthority (authority: string, protocol: string): string | undefined {
  const url = `${protocol}//${authority}`
  if (!HOST_HEADER.test(authority) || !URL.canParse(url)) return undefined
  const { hostname, port } = new URL(url)
  const name = hostname.replace(/\.$/, '')
  return port === '' ? name : `${name}:${port}`
}

/** Whether a `Host` header names the host of a URL, in any spelling. */
export function isHostOf (url: string, header: string | undefined): boolean {
  const { protocol, host } = new URL(url)
  if (header === undefined || header === host) return header !== undefined
  return canonicalAuthority(header, protocol) === canonicalAuthority(host, protocol)
}

/** The one spelling of an origin, also of an application's such as `vscode-webview://…`; undefined if it is none. */
export function canonicalOrigin (origin: string): string | undefined {
  const [, written = '', authority = ''] = ORIGIN.exec(origin) ?? []
  const scheme = written.toLowerCase()
  if (scheme === '' || NEVER_AN_ORIGIN.has(scheme)) return undefined
  if (scheme !== 'http' && scheme !== 'https') {
    return OTHER_AUTHORITY.test(authority) ? `${scheme}://${authority.toLowerCase()}` : undefined
  }
  const canonical = canonicalAuthority(authority, `${scheme}:`)
  return canonical === undefined ? undefined : `${scheme}://${canonical}`
}

/** `https://*.example.com:8443`: all names under a domain, at one port. */
export interface OriginPattern {
  /** `https://` */
  scheme: string
  /** `.example.com:8443` */
  end: string
}

/**
 * Reads a pattern of origins. `*` stands for one or more whole labels before a domain of two labels or more, or
 * `localhost`: it never matches the domain itself.
 * @returns undefined for anything else
 */
export function parseOriginPattern (text: string): OriginPattern | undefined {
  const [, scheme = '', rest = ''] = PATTERN.exec(text) ?? []
  const origin = canonicalOrigin(scheme.toLowerCase() + rest)
  if (origin === undefined) return undefined
  const { hostname } = new URL(origin)
  const isDomain = /^[a-z0-9_-]+(\.[a-z0-9_-]+)+$/.test(hostname) && !/\.\d+$/.test(hostname)
  if (!isDomain && hostname !== 'localhost') return undefined
  return { scheme: scheme.toLowerCase(), end: `.${origin.slice(scheme.length)}` }
}

/** Whether a pattern covers an origin in its canonical spelling. */
export function matchesOrigin ({ scheme, end }: OriginPattern, origin: string): boolean {
  return origin.startsWith(scheme) && origin.endsWith(end) && LABELS.test(origin.slice(scheme.length, -end.length))
}
