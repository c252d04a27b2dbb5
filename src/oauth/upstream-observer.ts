/** The endpoints of the upstream that are asked for something. */
export type UpstreamEndpoint = 'discovery' | 'registration' | 'token' | 'userinfo' | 'revocation' | 'introspection' | 'jwks'

/** A request to the upstream that is over. */
export interface ObservedUpstreamRequest {
  endpoint: UpstreamEndpoint
  /** undefined where there was no answer. */
  statusCode: number | undefined
  seconds: number
}

/** Hears of what the upstream (in resource-server mode: the authorization server) is asked. */
export interface UpstreamObserver {
  upstreamRequest (observed: ObservedUpstreamRequest): void
}

/** `fetch`, as far as requests to the upstream use it. */
export type Fetch = typeof globalThis.fetch

/** `fetch` for one endpoint of the upstream, of which the observer hears. */
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
