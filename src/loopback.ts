import { isIP } from 'node:net'

/*
 * What counts as this machine. What is open there is open to nobody else.
 */

/** Address to listen on for this machine alone. */
export const LOOPBACK_ADDRESS = '127.0.0.1'
/** What `localhost` resolves to. */
export const LOOPBACK_ADDRESSES = [{ address: LOOPBACK_ADDRESS, family: 4 }, { address: '::1', family: 6 }] as const

// RFC 8252 7.3; `localhost` too, because every MCP client uses it
const HOST = String.raw`(?:localhost|127\.\d{1,3}\.\d{1,3}\.\d{1,3}|\[::1\])`
const HOSTNAME = new RegExp(`^${HOST}$`)
const HOST_HEADER = new RegExp(`^${HOST}(?::\\d+)?$`, 'i')
const ORIGIN = new RegExp(`^https?://${HOST}(?::\\d+)?$`, 'i')
const HTTP_URL = new RegExp(`^(http://${HOST})(?::(\\d{1,5}))?((?:[/?].*)?)$`)
const MAX_PORT = 65_535

/** The URL of a port of this machine, as people write it. */
export function localUrl (port: number): string {
  return `http://localhost:${port}`
}

/** Whether the host name of a URL is this machine. */
export function isLoopbackHost (hostname: string): boolean {
  return HOSTNAME.test(hostname)
}

/** Whether a URL leads to this machine. */
export function isLoopbackUrl (url: string | URL): boolean {
  return isLoopbackHost(new URL(url).hostname)
}

/** Whether an authority, with or without a port, names this machine. */
export function isLoopbackHostHeader (host: string): boolean {
  return HOST_HEADER.test(host)
}

/** Whether an origin names this machine. */
export function isLoopbackOrigin (origin: string): boolean {
  return ORIGIN.test(origin)
}

/** Whether an IP address is this machine; IPv6 as the URL standard writes it. */
export function isLoopbackAddress (address: string): boolean {
  return address === '::1' || (isIP(address) === 4 && address.startsWith('127.'))
}

/** Whether a name is `localhost`, or a name under it (RFC 6761 6.3). */
export function isLocalhostName (name: string): boolean {
  return /^(?:.+\.)?localhost\.?$/.test(name)
}

/** Whether two http URLs on loopback differ at most in their port (RFC 8252 7.3). */
export function isSameButForPort (requested: string, registered: string): boolean {
  const [, origin, port, rest] = HTTP_URL.exec(requested) ?? []
  const [, registeredOrigin, , registeredRest] = HTTP_URL.exec(registered) ?? []
  return origin !== undefined && origin === registeredOrigin && (rest || '/') === (registeredRest || '/') &&
    Number(port ?? 80) <= MAX_PORT
}
