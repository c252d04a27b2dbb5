import type { CustomFetchOptions } from 'openid-client'
import { UpstreamError } from '../../errors.js'
import type { Fetch } from '../upstream-observer.js'
import { isObject } from '../../members.js'

/** What an operator does if the upstream does not register clients. */
export const REGISTER_BY_HAND = 'register a client there by hand and set OAUTH_CLIENT_ID and OAUTH_CLIENT_SECRET'

/** Fetches a token response, and repairs what upstreams get wrong. */
export async function tokenFetch (
  fetch: Fetch,
  url: string,
  init: CustomFetchOptions,
  keepIdToken: boolean
): Promise<Response> {
  const response = await send(fetch, url, init)
  const text = await response.text()
  const members = findMembers(text)
  if (members === undefined) {
    return new Response(text === '' ? null : text, { status: response.status, headers: response.headers })
  }
  if (!keepIdToken) members.delete('id_token')
  // GitHub responds with 200 to failed requests
  const failed = members.has('error') && !members.has('access_token')
  return Response.json({ token_type: 'bearer', ...Object.fromEntries(members) }, {
    status: failed && response.ok ? 400 : response.status
  })
}

/** Sends a registration. Accepts 200 instead of 201, and a missing `client_secret_expires_at`. */
export async function registrationFetch (fetch: Fetch, url: string, init: CustomFetchOptions): Promise<Response> {
  const response = await send(fetch, url, init)
  if (response.status === 401 || response.status === 403) {
    await response.body?.cancel()
    throw new UpstreamError('The login server does not let this service register.', {
      detail: `its registration endpoint responds with ${response.status}: ${REGISTER_BY_HAND}`,
      reason: 'upstream_refused_client'
    })
  }
  if (response.status !== 200 && response.status !== 201) return response
  const members = findMembers(await response.text())
  return Response.json({ client_secret_expires_at: 0, ...members && Object.fromEntries(members) }, { status: 201 })
}

/** Sends a request of openid-client. */
export async function send (fetch: Fetch, url: string, init: CustomFetchOptions): Promise<Response> {
  const { body = null, signal = null, ...rest } = init
  return await fetch(url, { ...rest, body, signal })
}

/** The members of a JSON object that are neither null nor empty. */
function findMembers (text: string): Map<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text)
    if (!isObject(value)) return undefined
    return new Map(Object.entries(value).filter(([, member]) => member !== null && member !== ''))
  } catch {
    return undefined
  }
}
