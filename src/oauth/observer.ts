/** The endpoints of the upstream that are asked for something. */
export type UpstreamEndpoint = 'discovery' | 'registration' | 'token' | 'userinfo' | 'revocation' | 'introspection' | 'jwks'

/** A request to the upstream that is over. */
export interface ObservedUpstreamRequest {
  endpoint: UpstreamEndpoint
  /** undefined where there was no answer. */
  statusCode: number | undefined
  seconds: number
}

/** A token request that was answered. */
export interface ObservedTokenRequest {
  grantType: 'authorization_code' | 'refresh_token' | 'other'
  /**
   * `issued`; `repeated`: clients that refresh in parallel got the same answer. `replayed`: a code or refresh token was used again,
   * which ended the login. Otherwise the error code of the refusal.
   */
  outcome: string
}

/** Hears of what the broker does, or (resource-server mode) of what the authorization server is asked. */
export interface OAuthObserver {
  tokenRequest (observed: ObservedTokenRequest): void
  upstreamRequest (observed: ObservedUpstreamRequest): void
}

/** `fetch`, as far as requests to the upstream use it. */
export type Fetch = (url: string | URL, init?: RequestInit) => Promise<Response>

/** `fetch` for one endpoint of the upstream, of which the observer hears. */
export function observedFetch (endpoint: UpstreamEndpoint, observer: OAuthObserver | undefined): Fetch {
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
