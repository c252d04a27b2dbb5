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
  // Keycloak's code for it, with 401
  return error === 'invalid_client' || (response.status === 401 && error === 'unauthorized_client')
}
