/** The endpoints of the upstream that receive requests. */
export type UpstreamEndpoint =
  | 'discovery'
  | 'registration'
  | 'token'
  | 'userinfo'
  | 'revocation'
  | 'introspection'
  | 'jwks'

/**
 * A completed request to the upstream.
 * @example
 * ```ts
 * import type { ObservedUpstreamRequest } from 'fastify-mcp-oauth'
 *
 * export function describe ({ endpoint, statusCode, seconds }: ObservedUpstreamRequest): string {
 *   return [endpoint, statusCode ?? 'no response', seconds.toFixed(3)].join(' ')
 * }
 * ```
 */
export interface ObservedUpstreamRequest {
  /** Which endpoint it went to. */
  endpoint: UpstreamEndpoint
  /** HTTP status; undefined if there was no response. */
  statusCode: number | undefined
  /** From the request to the headers of the response, or to the failure. */
  seconds: number
}

/**
 * Called with each request to the upstream (in resource-server mode: to the authorization server). Pass it as
 * `upstreamObserver` of `mcpService`.
 * @example
 * ```ts
 * import type { UpstreamObserver } from 'fastify-mcp-oauth'
 *
 * export const upstreamObserver: UpstreamObserver = {
 *   upstreamRequest ({ endpoint, statusCode }) {
 *     if (statusCode === undefined) console.warn('The login server did not respond at', endpoint)
 *   }
 * }
 * ```
 */
export interface UpstreamObserver {
  /** Called when the headers of the response are there, or the request has failed. */
  upstreamRequest (observed: ObservedUpstreamRequest): void
}

/** `fetch`, or what replaces it. */
export type Fetch = typeof globalThis.fetch

/** `fetch` for one endpoint of the upstream, reported to the observer. */
export function observedFetch (
  endpoint: UpstreamEndpoint,
  observer: UpstreamObserver | undefined,
  fetch: Fetch = globalThis.fetch
): Fetch {
  return observer === undefined
    ? fetch
    : async (url, init) => {
      const begun = performance.now()
      let statusCode: number | undefined
      try {
        const response = await fetch(url, init)
        statusCode = response.status
        return response
      } finally {
        observer.upstreamRequest({ endpoint, statusCode, seconds: (performance.now() - begun) / 1000 })
      }
    }
}
