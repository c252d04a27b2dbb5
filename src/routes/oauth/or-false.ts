import type { FastifyRequest } from 'fastify'

/** Makes a test of a request fail if the request cannot be read: the endpoint says what is wrong with it. */
export function orFalse (test: (request: FastifyRequest) => boolean): (request: FastifyRequest) => boolean {
  return request => {
    try {
      return test(request)
    } catch {
      return false
    }
  }
}
