import { passesIn, TemporarilyUnavailableError } from '../../errors.js'
import { getMember } from '../../members.js'
import { readAnswer, type Answer } from '../upstream/answers/fetch-answer.js'
import { unusable } from '../upstream/upstream-errors.js'
import type { Fetch } from '../upstream-observer.js'

export interface ProviderApiOptions {
  /** The person's. */
  accessToken: string
  fetch: Fetch
  /** Ends all requests together. */
  signal: AbortSignal
  /** Says who the person is, for their access token. */
  userinfoUrl?: URL | undefined
  /** Scopes that were asked for at the login. */
  scopes: readonly string[]
}

/** More pages are not asked for: who is a member of so much is not known to be a member of the rest. */
export const MAX_PAGES = 10
const MAX_GROUPS = 2000
const MAX_GROUP_LENGTH = 256
const RETRY_SECONDS = 60

/** The API of a login server, asked with a person's own token. */
export class ProviderApi {
  readonly #options: ProviderApiOptions

  constructor (options: ProviderApiOptions) {
    this.#options = options
  }

  get scopes (): readonly string[] {
    return this.#options.scopes
  }

  /** A URL under that of the userinfo endpoint; under another, if there is none. */
  under (otherwise: string, path: string, parameters: Readonly<Record<string, string>> = {}): URL {
    const url = new URL(this.#options.userinfoUrl ?? otherwise)
    url.pathname = `${url.pathname.replace(/\/$/, '')}${path}`
    for (const [name, value] of Object.entries(parameters)) url.searchParams.set(name, value)
    return url
  }

  /**
   * Sends a request, with a JSON body if there is one. Redirects are not followed: they could lead the token away.
   * @returns the JSON of the response
   * @throws {Response} as it came, if it says that the token is not good, or that there is an outage
   * @throws {UpstreamError} if it says anything else, or is too long
   * @throws {TemporarilyUnavailableError} if it says that it is asked too often
   */
  async ask (
    url: URL,
    { headers = {}, body }: { headers?: Record<string, string>, body?: unknown } = {}
  ): Promise<unknown> {
    const { accessToken, fetch, signal } = this.#options
    const response = await fetch(url.href, {
      signal,
      redirect: 'manual',
      headers: {
        accept: 'application/json',
        ...headers,
        authorization: `Bearer ${accessToken}`,
        ...body !== undefined && { 'content-type': 'application/json' }
      },
      ...body !== undefined && { method: 'POST', body: JSON.stringify(body) }
    })
    if (response.status === 401 || response.status === 429 || response.status >= 500) {
      response.body?.cancel().catch(() => {})
      throw response
    }
    const answer = await readAnswer(response, url.href)
    if (response.status !== 200) throw refused(url, answer)
    try {
      return JSON.parse(answer.text)
    } catch (error) {
      throw unusable(`${url.origin}${url.pathname} does not respond with JSON`, error)
    }
  }
}

function refused (url: URL, { status, headers, text, members }: Answer): Error {
  const said = members?.get('message') ?? getMember(members?.get('error'), 'message') ?? text
  const detail = `${url.origin}${url.pathname} responded with ${status}: ${String(said).slice(0, 300)}`
  // GitHub's, to somebody who asks too often
  const isThrottled = status === 403 && (headers.has('retry-after') || headers.get('x-ratelimit-remaining') === '0')
  return isThrottled
    ? new TemporarilyUnavailableError(
      ...passesIn(RETRY_SECONDS, 'The login server is asked too often.', { detail, reason: 'upstream_unreachable' })
    )
    : unusable(detail)
}

/**
 * The list in a response.
 * @throws {UpstreamError} if it is none: nobody is taken for a member of nothing because of it
 */
export function readList (value: unknown, what: string): readonly unknown[] {
  if (!Array.isArray(value)) throw unusable(`${what} must be a list`)
  return value
}

/** Names of groups, each once: no more and no longer ones than anybody needs. */
export function toGroups (values: readonly unknown[]): string[] {
  const groups = new Set<string>()
  for (const value of values) {
    if (groups.size >= MAX_GROUPS) break
    if (typeof value === 'string' && value !== '' && value.length <= MAX_GROUP_LENGTH) groups.add(value)
  }
  return [...groups]
}
