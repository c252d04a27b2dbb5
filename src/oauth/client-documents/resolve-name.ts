import { lookup as lookUpBySystem, Resolver } from 'node:dns/promises'
import { isLocalhostName, LOOPBACK_ADDRESSES } from '../../loopback.js'
import type { Address } from './public-addresses.js'

// a silent name server costs three seconds, and only this request: no thread of libuv's pool waits for it
const resolver = new Resolver({ timeout: 1000, tries: 2 })
const NO_SUCH_NAME = ['ENOTFOUND', 'ENODATA', 'EBADNAME']

/**
 * The addresses of a host whose name an unknown client sent, from DNS alone: `getaddrinfo` runs in libuv's pool, where
 * four silent name servers would hold up every other lookup, file and cipher of the process.
 * @param local development: `localhost`, and what only the hosts file knows, are names, too
 * @returns none if the name does not exist @throws if the name servers do not know
 */
export async function resolveName (host: string, local: boolean): Promise<Address[]> {
  if (isLocalhostName(host)) return local ? [...LOOPBACK_ADDRESSES] : []
  // a single label can only be a name of the local network
  if (!/[^.]\.[^.]/.test(host)) return local ? await bySystem(host) : []
  const [ipv4, ipv6] = await Promise.allSettled([resolver.resolve4(host), resolver.resolve6(host)])
  const addresses = [
    ...ipv4.status === 'fulfilled' ? ipv4.value.map(address => ({ address, family: 4 })) : [],
    ...ipv6.status === 'fulfilled' ? ipv6.value.map(address => ({ address, family: 6 })) : []
  ]
  if (addresses.length > 0) return addresses
  if (local) return await bySystem(host)
  for (const answer of [ipv4, ipv6]) {
    if (answer.status === 'rejected' && !isNoSuchName(answer.reason)) throw answer.reason
  }
  return []
}

async function bySystem (host: string): Promise<Address[]> {
  return await lookUpBySystem(host, { all: true }).catch((error: unknown) => {
    if (isNoSuchName(error)) return []
    throw error
  })
}

function isNoSuchName (error: unknown): boolean {
  return error instanceof Error && 'code' in error && NO_SUCH_NAME.includes(String(error.code))
}
