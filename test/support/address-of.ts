import type { AddressInfo, Server } from 'node:net'

/** Where a server listens by TCP. @throws if it does not */
export function addressOf (server: Pick<Server, 'address'>): AddressInfo {
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  return address
}
