import type { TokenEndpointResponse } from 'openid-client'

/** The upstream's tokens for a grant. They stay in this service. */
export interface UpstreamTokens {
  accessToken: string
  refreshToken?: string
  /** Epoch seconds; absent if the upstream does not say. */
  expiresAt?: number
  /** When they are to be refreshed, some time before `expiresAt`. */
  refreshAt?: number
}

// tokens are refreshed this long before they expire, or after three quarters of a short life
const LEEWAY_SECONDS = 30

/** What is kept of a token response. @param nowMs when it came */
export function toUpstreamTokens (
  { access_token: accessToken, refresh_token: refreshToken, expires_in: lifetime }: TokenEndpointResponse,
  nowMs: number
): UpstreamTokens {
  const now = Math.floor(nowMs / 1000)
  return {
    accessToken,
    ...refreshToken !== undefined && { refreshToken },
    ...lifetime !== undefined &&
      { expiresAt: now + lifetime, refreshAt: now + lifetime - Math.min(LEEWAY_SECONDS, lifetime / 4) }
  }
}
