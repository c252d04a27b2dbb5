import { BlockList, isIP } from 'node:net'
import { isLocalhostName, isLoopbackHost } from '../loopback.js'

/*
 * Which hosts only a local network has.
 */

const INTERNAL = /\.(?:local|localdomain|internal|intranet|private|corp|home|lan|svc|home\.arpa)\.?$/i

// RFC 1918, RFC 6598, RFC 4193
const networks = new BlockList()
networks.addSubnet('10.0.0.0', 8, 'ipv4')
networks.addSubnet('172.16.0.0', 12, 'ipv4')
networks.addSubnet('192.168.0.0', 16, 'ipv4')
networks.addSubnet('100.64.0.0', 10, 'ipv4')
networks.addSubnet('fc00::', 7, 'ipv6')

/** Whether a name is one of a local network: a single label, or under a domain that the internet does not have. */
export function isInternalName (host: string): boolean {
  return isLocalhostName(host) || !/[^.]\.[^.]/.test(host) || INTERNAL.test(host)
}

/** Whether the host of a URL is this machine, a private address, or a name of a local network. */
export function isInternalHost (hostname: string): boolean {
  if (isLoopbackHost(hostname)) return true
  const host = hostname.replace(/^\[(.*)\]$/, '$1')
  const version = isIP(host)
  return version === 0 ? isInternalName(host) : networks.check(host, version === 4 ? 'ipv4' : 'ipv6')
}
