import { normalizeIP } from '@fastify/rate-limit'

/**
 * The address of a request as limits count it: IPv6 by its /64, which is what one customer has; IPv4-mapped IPv6 as
 * IPv4; without the port that some proxies leave in `X-Forwarded-For`.
 */
export function callerAddress ({ ip }: { readonly ip: string }): string {
  // a Unix socket has no address
  const [, bracketed, plain] = /^(?:\[([^\]]*)\](?::\d+)?|(\d+\.\d+\.\d+\.\d+):\d+)$/.exec(String(ip)) ?? []
  return normalizeIP(bracketed ?? plain ?? String(ip))
}
