import type { CustomFetchOptions } from 'openid-client'
import { UpstreamError } from '../../../errors.js'
import type { Fetch } from '../../upstream-observer.js'
import { unusable } from '../upstream-errors.js'
import { asItCame, fetchAnswer, findText } from './fetch-answer.js'

/** What an operator does if the upstream does not register clients. */
export const REGISTER_BY_HAND = 'register a client there by hand and set OAUTH_CLIENT_ID and OAUTH_CLIENT_SECRET'

// it goes into a Location header
const MAX_CLIENT_ID_LENGTH = 2048

/**
 * Sends a registration, and takes the members that we read (RFC 7591 3.2.1), with 200 or 201.
 * @throws {UpstreamError} if it is refused
 */
export async function fetchRegistrationAnswer (
  fetch: Fetch,
  url: string,
  init: CustomFetchOptions
): Promise<Response> {
  const answer = await fetchAnswer(fetch, url, init)
  const { status, members } = answer
  if (status === 401 || status === 403) {
    throw new UpstreamError('The login server does not let this service register.', {
      detail: `its registration endpoint responds with ${status}: ${REGISTER_BY_HAND}`,
      reason: 'upstream_refused_client'
    })
  }
  if ((status !== 200 && status !== 201) || members === undefined) return asItCame(answer)
  const clientId = findText(members, 'client_id')
  if (clientId !== undefined && clientId.length > MAX_CLIENT_ID_LENGTH) throw unusable('the client_id is too long')
  const expiresAt = members.get('client_secret_expires_at')
  return Response.json({
    client_id: clientId,
    client_secret: findText(members, 'client_secret'),
    client_secret_expires_at: typeof expiresAt === 'number' && expiresAt > 0 ? expiresAt : 0,
    token_endpoint_auth_method: findText(members, 'token_endpoint_auth_method'),
    registration_client_uri: findText(members, 'registration_client_uri'),
    registration_access_token: findText(members, 'registration_access_token')
  }, { status: 201 })
}
