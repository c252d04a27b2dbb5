import { bareHost, isThisMachine } from './public-addresses.js'

/**
 * Whether a client_id is the URL of a metadata document: https, with a path other than "/", no fragment, no userinfo,
 * no dot segments, at most 2048 characters. Loopback hosts, with http or https, only if allowLoopback.
 */
export function isMetadataDocumentUrl (clientId: string, allowLoopback: boolean): boolean {
  // The raw string is checked: URL would repair dot segments, backslashes, tabs and missing slashes before we see them.
  if (clientId.length > 2048 || !/^[\x21-\x7e]+$/.test(clientId)) return false
  const [, path] = /^https?:\/\/[^/?#@\\]+(\/[^?#\\]*)(?:\?[^#\\]*)?$/i.exec(clientId) ?? []
  if (path === undefined || path === '/' || !URL.canParse(clientId)) return false
  // "%2e" is a dot to URL (WHATWG URL, "double-dot URL path segment").
  if (path.split('/').some(segment => /^(?:\.|%2e){1,2}$/i.test(segment))) return false
  const url = new URL(clientId)
  const host = bareHost(url)
  return isThisMachine(host) ? allowLoopback : url.protocol === 'https:'
}
