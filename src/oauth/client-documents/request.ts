import http from 'node:http'
import https from 'node:https'
import { isIP, type LookupFunction } from 'node:net'
import { bareHost, type Address } from './public-addresses.js'

/** How far a request has come: shows what failed. */
export interface Progress {
  connected: boolean
}

/** Requests the URL at addresses that were checked: a second resolution could answer differently (DNS rebinding). */
export function request (
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
  // no agent: a pooled connection was opened elsewhere, and a proxy would resolve the name itself
  const options = {
    agent: false,
    lookup,
    signal,
    headers: { accept: 'application/json', 'user-agent': 'fastify-mcp-oauth' }
  }
  const host = bareHost(url)
  const secure = url.protocol === 'https:'
  return new Promise((resolve, reject) => {
    const request = secure
      // TLS takes no IP address as a server name; the certificate is then checked against the address (RFC 6066 3).
      ? https.request(url, { ...options, servername: isIP(host) === 0 ? host : '' })
      : http.request(url, options)
    request.on('socket', socket =>
      socket.once(secure ? 'secureConnect' : 'connect', () => {
        progress.connected = true
      }))
    request.on('response', resolve)
    request.on('error', reject)
    request.on('close', () => reject(new Error('the connection was closed without a response')))
    request.end()
  })
}
