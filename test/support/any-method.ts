import type { InjectOptions } from 'fastify'

/** The method of an injected request: on the wire it is any string, and the types of `inject` know but a few. */
export function withMethod (method: string): Pick<InjectOptions, 'method'> {
  return Object.assign<Pick<InjectOptions, 'method'>, { method: string }>({}, { method })
}
