/** A successful response of the token endpoint (RFC 6749 5.1). */
export interface TokenResponse {
  access_token: string
  token_type: 'Bearer'
  expires_in: number
  /** Only for clients that registered for it. */
  refresh_token?: string
  scope: string
}

/** Whether what was sealed is a response. */
export function isTokenResponse (value: unknown): value is TokenResponse {
  return typeof value === 'object' && value !== null && 'access_token' in value
}
