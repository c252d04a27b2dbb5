import type { FastifyRequest } from 'fastify'

/** What the log shows of a request: never its query, which holds codes, states and session ids. */
export const withoutQuery = {
  req: ({ method, url, host, ip }: FastifyRequest) => ({
    method,
    url: url.replace(/\?.*/s, ''),
    host,
    remoteAddress: ip
  })
}
