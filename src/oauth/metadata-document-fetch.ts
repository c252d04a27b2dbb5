import { lookup as dnsLookup } from 'node:dns/promises'
import http from 'node:http'
import https from 'node:https'
import { BlockList, isIP, type LookupFunction } from 'node:net'
import { InvalidClientError } from '../errors.js'

/** Every URL here comes from a stranger: nothing but the public internet may be reached through it. */
const special = new BlockList()
for (const range of [
  '0.0.0.0/8', '10.0.0.0/8', '100.64.0.0/10', '127.0.0.0/8', '169.254.0.0/16', '172.16.0.0/12', '192.0.0.0/24', '192.0.2.0/24',
  '192.88.99.0/24', '192.168.0.0/16', '198.18.0.0/15', '198.51.100.0/24', '203.0.113.0/24', '224.0.0.0/4', '240.0.0.0/4',
  // ::/96 is ::, ::1 and the IPv4-compatible addresses, ::ffff:0:0:0/96 the IPv4-translated ones: each hides an IPv4 address.
  '::/96', '::ffff:0:0:0/96', '64:ff9b::/96', '64:ff9b:1::/48', '100::/64', '100:0:0:1::/64', '2001::/23', '2001:db8::/32',
  '2002::/16', '3fff::/20', '5f00::/16', 'fc00::/7', 'fe80::/10', 'fec0::/10', 'ff00::/8'
]) {
  const [network = '', prefix] = range.split('/')
  special.addSubnet(network, Number(prefix), isIP(network) === 4 ? 'ipv4' : 'ipv6')
}

interface Address { address: string, family: number }

export interface FetchMetadataDocumentOptions {
  /** Outside production: loopback addresses, and http there, are allowed. */
  allowLoopback: boolean
  /** The largest body that is read. */
  maxBytes?: number
  /** For all of it, from DNS to the last byte. */
  timeoutMs?: number
  /** For tests: resolves a name to all its addresses. */
  lookup?: (hostname: string) => Promise<Address[]>
}

/** One public message for every reason, or the answers would map our network for whoever asks. */
const refusal = (detail: string, cause?: unknown) =>
  new InvalidClientError('The metadata document of the client cannot be used.', { detail, cause })

/** The one spelling that checks compare: IPv6 as the URL standard writes it, IPv4-mapped IPv6 as IPv4. */
function canonical (address: string): string {
  if (isIP(address) !== 6) return address
  const ipv6 = new URL(`http://[${address}]`).hostname.slice(1, -1)
  const [, high, low] = /^::ffff:([\da-f]+):([\da-f]+)$/.exec(ipv6) ?? []
  if (high === undefined || low === undefined) return ipv6
  return [high, low].flatMap(group => [parseInt(group, 16) >> 8, parseInt(group, 16) & 0xff]).join('.')
}

const isLoopback = (address: string) => address === '::1' || (isIP(address) === 4 && address.startsWith('127.'))

const hostOf = (url: URL) => url.hostname.replace(/^\[(.*)\]$/, '$1')

/**
 * Whether a client_id is the URL of a metadata document: https (http, and either on a loopback host, only if allowLoopback),
 * with a path other than "/", no fragment, no userinfo, no dot segments, at most 2048 characters.
 */
export function isMetadataDocumentUrl (clientId: string, allowLoopback: boolean): boolean {
  // The raw string is judged: URL would mend dot segments, backslashes, tabs and missing slashes before we see them.
  if (clientId.length > 2048 || !/^[\x21-\x7e]+$/.test(clientId)) return false
  const [, path] = /^https?:\/\/[^/?#@\\]+(\/[^?#\\]*)(?:\?[^#\\]*)?$/i.exec(clientId) ?? []
  if (path === undefined || path === '/' || !URL.canParse(clientId)) return false
  // "%2e" is a dot to URL (WHATWG URL, "double-dot URL path segment").
  if (path.split('/').some(segment => /^(?:\.|%2e){1,2}$/i.test(segment))) return false
  const url = new URL(clientId)
  const host = hostOf(url)
  const loopback = /^(?:.+\.)?localhost\.?$/.test(host) || isLoopback(canonical(host))
  return loopback ? allowLoopback : url.protocol === 'https:'
}

/** Rejects when the signal does: a DNS query cannot be aborted, only no longer waited for. */
function untilAborted<T> (promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason), { once: true })
    promise.then(resolve, reject)
  })
}

/** The addresses of a host, if every one of them may be connected to. */
async function checkedAddresses (url: URL, allowLoopback: boolean, lookup: (hostname: string) => Promise<Address[]>): Promise<Address[]> {
  const host = hostOf(url)
  const addresses = isIP(host) === 0 ? (await lookup(host)).map(({ address }) => address) : [host]
  if (addresses.length === 0) throw refusal(`${host} has no address`)
  return addresses.map(address => {
    // A zone ("fe80::1%eth0") passes isIP, but no BlockList rule matches it.
    const family = address.includes('%') ? 0 : isIP(address)
    if (family === 0) throw refusal(`${host} resolves to ${address}, which is no usable address`)
    const plain = canonical(address)
    const loopback = isLoopback(plain)
    const isSpecial = special.check(plain, isIP(plain) === 4 ? 'ipv4' : 'ipv6')
    if (isSpecial && !(loopback && allowLoopback)) throw refusal(`${host} resolves to the special address ${address}`)
    // "localhost" is only a name: plain http must not leave the machine because of what it resolves to.
    if (url.protocol === 'http:' && !loopback) throw refusal(`${host} resolves to ${address}: http is for loopback only`)
    return { address, family }
  })
}

/** Requests the URL at addresses that were checked: a second resolution could answer differently (DNS rebinding). */
function get (url: URL, addresses: Address[], signal: AbortSignal): Promise<http.IncomingMessage> {
  const lookup: LookupFunction = (hostname, { all }, callback) => {
    const [first] = addresses
    if (all === true) callback(null, addresses)
    else if (first !== undefined) callback(null, first.address, first.family)
    else callback(new Error(`${hostname} has no address`), '')
  }
  // An agent of its own: no pooled connection that was opened elsewhere, and no proxy that would resolve the name itself.
  const options = { agent: false, lookup, signal, headers: { accept: 'application/json', 'user-agent': 'fastify-mcp-oauth' } }
  const host = hostOf(url)
  return new Promise((resolve, reject) => {
    const request = url.protocol === 'https:'
      // TLS takes no IP address as a server name; the certificate is then checked against the address (RFC 6066 3).
      ? https.request(url, { ...options, servername: isIP(host) === 0 ? host : '' })
      : http.request(url, options)
    request.on('response', resolve)
    request.on('error', reject)
    request.on('close', () => reject(new Error('the connection was closed without a response')))
    request.end()
  })
}

async function readBody (response: AsyncIterable<Buffer>, maxBytes: number): Promise<string> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of response) {
    bytes += chunk.length
    if (bytes > maxBytes) throw refusal(`the body is larger than ${maxBytes} bytes`)
    chunks.push(chunk)
  }
  return new TextDecoder('utf-8', { fatal: true }).decode(Buffer.concat(chunks))
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** How long the answer may be kept: five minutes unless it says, never more than a day. */
function maxAgeOf (cacheControl = ''): number {
  const directives = cacheControl.toLowerCase().split(',').map(directive => directive.trim())
  if (directives.some(directive => /^no-(?:store|cache)(?:\s*=|$)/.test(directive))) return 0
  const ages = directives.filter(directive => directive.startsWith('max-age'))
    // A malformed age counts as stale (RFC 9111 4.2.1); of several the strictest counts.
    .map(directive => Number(/^max-age="?(\d+)"?$/.exec(directive)?.[1] ?? 0))
  return ages.length === 0 ? 300 : Math.min(86_400, ...ages)
}

/**
 * Fetches the metadata document behind a client_id (draft-ietf-oauth-client-id-metadata-document), from public addresses only.
 * @throws {InvalidClientError} for whatever goes wrong; `detail` says what.
 */
export async function fetchMetadataDocument (clientId: string, options: FetchMetadataDocumentOptions):
Promise<{ document: Record<string, unknown>, maxAgeSeconds: number }> {
  const { allowLoopback, maxBytes = 5120 * 4, timeoutMs = 5000, lookup = name => dnsLookup(name, { all: true }) } = options
  if (!isMetadataDocumentUrl(clientId, allowLoopback)) throw refusal('the client_id is not the URL of a metadata document')
  const url = new URL(clientId)
  const signal = AbortSignal.timeout(timeoutMs)
  let response: http.IncomingMessage | undefined
  try {
    const addresses = await untilAborted(checkedAddresses(url, allowLoopback, lookup), signal)
    response = await get(url, addresses, signal)
    // Redirects included: where they lead has not been checked, and the draft forbids following them.
    if (response.statusCode !== 200) throw refusal(`${clientId} answers with status ${response.statusCode}`)
    const type = response.headers['content-type'] ?? ''
    if (!/^application\/(?:[\w!#$&^.+-]+\+)?json\s*(?:;|$)/i.test(type)) throw refusal(`${clientId} has the content type "${type}"`)
    const document: unknown = JSON.parse(await readBody(response, maxBytes))
    if (!isObject(document)) throw refusal(`${clientId} is no JSON object`)
    if (document.client_id !== clientId) throw refusal(`the document at ${clientId} names another client_id`)
    return { document, maxAgeSeconds: maxAgeOf(response.headers['cache-control']) }
  } catch (error) {
    if (error instanceof InvalidClientError) throw error
    throw refusal(signal.aborted ? `${clientId} is not read within ${timeoutMs} ms` : `${clientId} cannot be read: ${String(error)}`, error)
  } finally {
    // Whatever is left of a refused answer is not worth its bandwidth.
    response?.destroy()
  }
}
