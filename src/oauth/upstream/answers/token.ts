import type { CustomFetchOptions } from 'openid-client'
import type { Fetch } from '../../upstream-observer.js'
import { unusable } from '../upstream-errors.js'
import { asItCame, fetchAnswer, findText, type Answer } from './fetch-answer.js'

// not bearer tokens: their use takes a proof, or they are for something else (RFC 6749 7.1, 8693 2.2.1)
const OTHER_TYPES = ['dpop', 'pop', 'mac', 'hok', 'n_a']
const MAX_LIFETIME_SECONDS = 10 * 365 * 86_400

/**
 * Fetches a token response (RFC 6749 5) with the members that we read: JSON or a form, whatever its type says; with any
 * status of success, or with 200 for a failure (GitHub).
 * @param keepIdToken whether an ID token can be checked
 * @throws {UpstreamError} if the tokens are of another type than bearer
 */
export async function fetchTokenAnswer (
  fetch: Fetch,
  url: string,
  init: CustomFetchOptions,
  keepIdToken: boolean
): Promise<Response> {
  const answer = await fetchAnswer(fetch, url, init)
  const members = answer.members ?? parseForm(answer)
  if (members === undefined) return asItCame(answer)
  const success = answer.status >= 200 && answer.status < 300
  if (members.has('access_token')) {
    return Response.json(readTokens(members, keepIdToken), { status: success ? 200 : answer.status })
  }
  const error = findText(members, 'error')
  const description = findText(members, 'error_description')
  return Response.json({ error, error_description: description }, {
    status: success && error !== undefined ? 400 : answer.status
  })
}

function readTokens (members: ReadonlyMap<string, unknown>, keepIdToken: boolean): Record<string, unknown> {
  const type = [members.get('token_type')].flat().find(isOtherType)
  if (type !== undefined) throw unusable(`the token_type is ${JSON.stringify(type)?.slice(0, 100)}, not Bearer`)
  return {
    access_token: members.get('access_token'),
    token_type: 'bearer',
    expires_in: toLifetime(members.get('expires_in')),
    refresh_token: findText(members, 'refresh_token'),
    ...keepIdToken && { id_token: members.get('id_token') }
  }
}

function isOtherType (type: unknown): boolean {
  return typeof type === 'string' && OTHER_TYPES.includes(type.trim().toLowerCase())
}

/** Seconds, of a number or its text; undefined if it makes no sense. */
function toLifetime (value: unknown): number | undefined {
  const seconds = typeof value === 'string' ? Number(value) : value
  return typeof seconds === 'number' && seconds >= 0 ? Math.min(seconds, MAX_LIFETIME_SECONDS) : undefined
}

/** The members of a form: GitHub sends one if it is not asked for JSON, others always. */
function parseForm ({ text }: Answer): Map<string, unknown> | undefined {
  if (!/^[\w.-]+=/.test(text)) return undefined
  const members = new Map([...new URLSearchParams(text)].filter(([, value]) => value !== ''))
  return members.has('access_token') || members.has('error') ? members : undefined
}
