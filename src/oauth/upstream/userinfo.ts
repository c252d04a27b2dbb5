import * as openid from 'openid-client'
import { TemporarilyUnavailableError, UpstreamError } from '../../errors.js'
import { readIdentity, type Identity } from './identity.js'
import { SUBJECT_CLAIM } from './subject.js'
import type { Tokens } from './token-request.js'
import { fail, upstreamError } from './upstream-errors.js'

/** What decides how the upstream is asked who logged in. */
export interface UserinfoOptions {
  /** Who issued the tokens. */
  issuer: string
  /** Asked in place of the upstream's own userinfo endpoint. */
  userinfoUrl?: URL
  /** The claim that names the person. */
  subjectClaim?: string
  /** Whether `openid` was asked for: only then has the upstream promised to say who logged in. */
  openidAsked: boolean
}

/** Who logged in: by the ID token, and by userinfo if there is no ID token or it names nobody. */
export async function fetchIdentity (
  configuration: openid.Configuration,
  tokens: Tokens,
  { issuer, userinfoUrl, subjectClaim = SUBJECT_CLAIM, openidAsked }: UserinfoOptions
): Promise<Identity> {
  const { userinfo_endpoint: endpoint } = configuration.serverMetadata()
  const idToken: Record<string, unknown> | undefined = tokens.claims()
  let userinfo: Record<string, unknown> = {}
  if (userinfoUrl !== undefined) {
    userinfo = await fetchUser(configuration, tokens.access_token, userinfoUrl)
  } else if (endpoint !== undefined && (idToken === undefined || !hasName(idToken))) {
    const expected = typeof idToken?.sub === 'string' ? idToken.sub : openid.skipSubjectCheck
    userinfo = await openid.fetchUserInfo(configuration, tokens.access_token, expected).catch((error: unknown) => {
      const optional = idToken !== undefined ||
        (!openidAsked && !(upstreamError(error) instanceof TemporarilyUnavailableError))
      return optional ? {} : fail(error)
    })
  }
  return readIdentity({ issuer, userinfo, idToken, subjectClaim })
}

function hasName ({ name, email }: Record<string, unknown>): boolean {
  return name !== undefined || email !== undefined
}

async function fetchUser (
  configuration: openid.Configuration,
  accessToken: string,
  url: URL
): Promise<Record<string, unknown>> {
  const response = await openid.fetchProtectedResource(
    configuration,
    accessToken,
    url,
    'GET',
    undefined,
    new Headers({ accept: 'application/json' })
  ).catch(fail)
  if (!response.ok) fail(response)
  const user: unknown = await response.json().catch(fail)
  if (typeof user !== 'object' || user === null) {
    throw new UpstreamError('The login server did not say who you are.', {
      detail: `${url.href} must return a JSON object`
    })
  }
  return { ...user }
}
