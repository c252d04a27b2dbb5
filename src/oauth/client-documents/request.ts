import http from 'node:http'
import https from 'node:https'
import { isIP, type LookupFunction } from 'node:net'
import type { Proxy } from '../../outbound/proxy.js'
import { bareHost, type Address } from './public-addresses.js'

/** How far a request has come: shows what failed. */
export interface Progress {
  connected: boolean
}

const headers = { accept: 'application/json', 'user-agent': 'fastify-mcp-oauth' }

/**
 * Requests a URL.
 * @param way a proxy, or addresses that were checked: a second resolution could answer differently (DNS rebinding)
 */
export async function request (
  url: URL,
  way: Proxy | Address[],
  signal: AbortSignal,
  progress: Progress
): Promise<http.IncomingMessage> {
  if (Array.isArray(way)) return await requestAt(url, way, signal, progress)
  const socket = await way.connect(url, signal)
  progress.connected = true
  return await toResponse(https.request(url, {
    signal,
    headers: { ...headers, connection: 'close' },
    // without an agent, Node.js knows no default
    defaultPort: 443,
    createConnection: () => socket
  }))
}

function requestAt (
  url: URL,
  addresses: Address[],
  signal: AbortSignal,
  progress: Progress
): Promise<http.IncomingMessage> {
  const lookup: LookupFunction = (hostname, { all }, callback) => {
    const [first] = addresses
    if (all === true) callback(null, addresses)
    else if (first !== undefined) callback(null, first.address, first.family)
    else callback(new Error(`${hostname} has no address`), '')
  }
  // no agent: a pooled connection was opened elsewhere
  const options = {
    agent: false,
    lookup,
    signal,
    headers
  }
  const host = bareHost(url)
  const secure = url.protocol === 'https:'
  const sent = secure
    // TLS takes no IP address as a server name; the certificate is then checked against the address (RFC 6066 3).
    ? https.request(url, { ...options, servername: isIP(host) === 0 ? host : '' })
    : http.request(url, options)
  sent.on('socket', socket =>
    socket.once(secure ? 'secureConnect' : 'connect', () => {
      progress.connected = true
    }))
  return toResponse(sent)
}

function toResponse (sent: http.ClientRequest): Promise<http.IncomingMessage> {
  return new Promise((resolve, reject) => {
    sent.on('response', resolve)
    sent.on('error', reject)
    sent.on('close', () => reject(new Error('the connection was closed without a response')))
    sent.end()
  })
}
