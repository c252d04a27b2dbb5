import { decodeJwt } from 'jose'
import { getMember } from '../../members.js'

/** Whether a token response has no ID token, or one without a nonce where that is allowed. */
export async function lacksNonce (response: Response, allowMissingNonce: boolean): Promise<boolean> {
  const idToken = getMember(await response.json().catch(() => undefined), 'id_token')
  if (idToken === undefined) return true
  if (!allowMissingNonce || typeof idToken !== 'string') return false
  try {
    return decodeJwt(idToken).nonce === undefined
  } catch {
    return false
  }
}

/** Whether a token response says that our client is unknown, or authenticated in a way that it must not. */
export async function refusesAuthentication (response: Response): Promise<boolean> {
  if (response.ok) return false
  const error = getMember(await response.json().catch(() => undefined), 'error')
  return meansClient(response.status, error)
}

/** Whether an error code of a token response is about our client, and not about the grant. */
export function meansClient (status: number, code: unknown): boolean {
  // Keycloak's and Auth0's codes for it; without 401, they may be about something else
  return code === 'invalid_client' || (status === 401 && (code === 'unauthorized_client' || code === 'access_denied'))
}
