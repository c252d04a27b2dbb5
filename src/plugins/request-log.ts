import type { FastifyRequest } from 'fastify'

/** What the log tells of a request: never its query, which holds codes, states and session ids. */
export const requestLog = {
  req: ({ method, url, host, ip }: FastifyRequest) => ({ method, url: url.replace(/\?.*/s, ''), host, remoteAddress: ip })
}
