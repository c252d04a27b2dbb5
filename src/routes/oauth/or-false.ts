import type { FastifyRequest } from 'fastify'

/** A test of a request that is not passed by what cannot be read: the endpoint itself says what is wrong with that. */
export function orFalse (test: (request: FastifyRequest) => boolean): (request: FastifyRequest) => boolean {
  return request => {
    try {
      return test(request)
    } catch {
      return false
    }
  }
}
