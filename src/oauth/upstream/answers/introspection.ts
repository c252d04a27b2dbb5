import type { CustomFetchOptions } from 'openid-client'
import { getMember, isObject } from '../../../members.js'
import type { Fetch } from '../../upstream-observer.js'
import { asItCame, fetchAnswer } from './fetch-answer.js'

const TIMES = ['exp', 'nbf', 'iat']

/**
 * Fetches an introspection response (RFC 7662 2.2), without times that make no sense. The rest stays as it came: an
 * empty `aud` names nobody, which is not the same as a token for anybody.
 */
export async function fetchIntrospectionAnswer (
  fetch: Fetch,
  url: string,
  init: CustomFetchOptions
): Promise<Response> {
  const answer = await fetchAnswer(fetch, url, init)
  if (answer.status !== 200 || answer.members === undefined) return asItCame(answer)
  const body: unknown = JSON.parse(answer.text)
  const times = TIMES.map(name => [name, toSeconds(getMember(body, name))] as const)
  return Response.json({ ...isObject(body) && body, ...Object.fromEntries(times) })
}

function toSeconds (value: unknown): number | undefined {
  const seconds = typeof value === 'string' && value !== '' ? Number(value) : value
  return typeof seconds === 'number' && Number.isFinite(seconds) ? seconds : undefined
}
