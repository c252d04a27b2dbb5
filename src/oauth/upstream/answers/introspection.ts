import type { CustomFetchOptions } from 'openid-client'
import type { Fetch } from '../../upstream-observer.js'
import { asItCame, fetchAnswer } from './fetch-answer.js'

const TIMES = ['exp', 'nbf', 'iat']

/** Fetches an introspection response (RFC 7662 2.2), without members that say nothing or are of a wrong type. */
export async function fetchIntrospectionAnswer (
  fetch: Fetch,
  url: string,
  init: CustomFetchOptions
): Promise<Response> {
  const answer = await fetchAnswer(fetch, url, init)
  if (answer.status !== 200 || answer.members === undefined) return asItCame(answer)
  const members = [...answer.members].map(([name, value]) =>
    [name, TIMES.includes(name) ? toSeconds(value) : value] as const
  )
  return Response.json(Object.fromEntries(members))
}

function toSeconds (value: unknown): number | undefined {
  const seconds = typeof value === 'string' ? Number(value) : value
  return typeof seconds === 'number' && Number.isFinite(seconds) ? seconds : undefined
}
