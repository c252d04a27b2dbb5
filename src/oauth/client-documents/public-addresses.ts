import { BlockList, isIP } from 'node:net'
import { isLocalhostName, isLoopbackAddress } from '../../loopback.js'

/** What a name resolves to, as `node:dns` returns it. */
export interface Address { address: string, family: number }

/** URLs of unknown clients must not reach anything but the public internet. */
const special = new BlockList()
for (
  const range of [
    '0.0.0.0/8',
    '10.0.0.0/8',
    '100.64.0.0/10',
    '127.0.0.0/8',
    '169.254.0.0/16',
    '172.16.0.0/12',
    '192.0.0.0/24',
    '192.0.2.0/24',
    '192.88.99.0/24',
    '192.168.0.0/16',
    '198.18.0.0/15',
    '198.51.100.0/24',
    '203.0.113.0/24',
    '224.0.0.0/4',
    '240.0.0.0/4',
    // ::/96: ::, ::1 and the IPv4-compatible addresses; ::ffff:0:0:0/96: the IPv4-translated ones. Each hides an IPv4
    // address
    '::/96',
    '::ffff:0:0:0/96',
    '64:ff9b::/96',
    '64:ff9b:1::/48',
    '100::/64',
    '100:0:0:1::/64',
    '2001::/23',
    '2001:db8::/32',
    '2002::/16',
    '3fff::/20',
    '5f00::/16',
    'fc00::/7',
    'fe80::/10',
    'fec0::/10',
    'ff00::/8'
  ]
) {
  const [network = '', prefix] = range.split('/')
  special.addSubnet(network, Number(prefix), isIP(network) === 4 ? 'ipv4' : 'ipv6')
}

/** The host of a URL, IPv6 without its brackets. */
export const bareHost = (url: URL): string => url.hostname.replace(/^\[(.*)\]$/, '$1')

/** Whether a host is this machine, by its name or its address. */
export function isThisMachine (host: string): boolean {
  return isLocalhostName(host) || isLoopbackAddress(canonical(host))
}

/**
 * Why an address must not be connected to for a URL; undefined if it may be.
 * @param allowLoopback whether this machine itself may be
 */
export function objectionTo (address: string, url: URL, allowLoopback: boolean): string | undefined {
  // a zone ("fe80::1%eth0") passes isIP, but no BlockList rule matches it
  if (isIP(address) === 0 || address.includes('%')) return `${address}, which is not a usable address`
  const plain = canonical(address)
  const loopback = isLoopbackAddress(plain)
  const isSpecial = special.check(plain, isIP(plain) === 4 ? 'ipv4' : 'ipv6')
  if (isSpecial && !(loopback && allowLoopback)) return `the special address ${address}`
  // "localhost" is only a name: plain http must not leave the machine because of what it resolves to
  return url.protocol === 'http:' && !loopback ? `${address}: http is for loopback addresses only` : undefined
}

/** The one spelling that checks compare: IPv6 as the URL standard writes it, IPv4-mapped IPv6 as IPv4. */
function canonical (address: string): string {
  if (isIP(address) !== 6) return address
  const ipv6 = new URL(`http://[${address}]`).hostname.slice(1, -1)
  const [, high, low] = /^::ffff:([\da-f]+):([\da-f]+)$/.exec(ipv6) ?? []
  if (high === undefined || low === undefined) return ipv6
  return [high, low].flatMap(group => [parseInt(group, 16) >> 8, parseInt(group, 16) & 0xff]).join('.')
}
