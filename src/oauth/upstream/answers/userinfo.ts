import type { CustomFetchOptions } from 'openid-client'
import type { Fetch } from '../../upstream-observer.js'
import { asItCame, fetchAnswer } from './fetch-answer.js'

/**
 * Fetches userinfo (OpenID Connect Core 5.3.2), where a number names a person, too. The rest stays as it came: whether
 * an empty `sub` names anybody is for the caller to say.
 */
export async function fetchUserinfoAnswer (fetch: Fetch, url: string, init: CustomFetchOptions): Promise<Response> {
  const answer = await fetchAnswer(fetch, url, init)
  const sub = answer.members?.get('sub')
  return answer.status === 200 && answer.members !== undefined && Number.isSafeInteger(sub)
    ? Response.json({ ...Object.fromEntries(answer.members), sub: String(sub) })
    : asItCame(answer)
}
