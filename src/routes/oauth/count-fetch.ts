import type { FastifyRequest } from 'fastify'
import { callerAddress } from '../../caller-address.js'
import { kBroker } from '../../plugins/oauth/broker.js'

/** Metadata documents and key sets that one address may have us fetch: a client has one of each per login. */
const FETCHES_PER_MINUTE = 60

/**
 * Bounds what strangers have us fetch from hosts that they name.
 * @throws {RateLimitedError}
 */
export async function countFetch (request: FastifyRequest): Promise<void> {
  const { limits } = request.server[kBroker]
  await limits.count(['metadata documents', 'address', callerAddress(request)], FETCHES_PER_MINUTE)
}
