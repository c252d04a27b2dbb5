import * as openid from 'openid-client'
import { AccessDeniedError, TemporarilyUnavailableError, UpstreamError } from '../../errors.js'
import type { FurtherClaims } from '../providers/further-claims.js'
import type { UpstreamSettings } from '../upstream-settings.js'
import { readIdentity, type Identity } from './identity.js'
import { isNamed, SUBJECT_CLAIM } from './subject.js'
import { fail, failReread, unusable, upstreamError } from './upstream-errors.js'
import { knownScopes } from './upstream-metadata.js'

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
  /** What rules need besides. */
  further: FurtherClaims
}

/** @param configuration of our client there */
export function toUserinfoOptions (
  { scopes, userinfoUrl, subjectClaim }: Pick<UpstreamSettings, 'scopes' | 'userinfoUrl' | 'subjectClaim'>,
  configuration: openid.Configuration,
  { issuer, further }: Pick<UserinfoOptions, 'issuer' | 'further'>
): UserinfoOptions {
  return {
    issuer,
    further,
    ...userinfoUrl && { userinfoUrl },
    ...subjectClaim !== undefined && { subjectClaim },
    openidAsked: knownScopes(scopes, configuration.serverMetadata()).includes('openid')
  }
}

/** What the upstream has given that says, or lets ask, who logged in. */
export interface IdentitySource {
  accessToken: string
  /** Claims of the ID token that came with it. */
  idToken?: Readonly<Record<string, unknown>> | undefined
}

/** Who logged in: by the ID token, and by userinfo if there is no ID token or it names nobody. */
export async function fetchIdentity (
  configuration: openid.Configuration,
  source: IdentitySource,
  options: UserinfoOptions
): Promise<Identity> {
  const { issuer, userinfoUrl, subjectClaim = SUBJECT_CLAIM, openidAsked, further } = options
  const { idToken, accessToken } = source
  const userinfo = await fetchUserinfo(configuration, source, options).catch((error: unknown) => {
    // nobody is refused for a claim because of an outage
    const isEnough = idToken !== undefined && !further.isMissing(idToken)
    const optional = userinfoUrl === undefined && (isEnough || ((idToken !== undefined || !openidAsked) &&
      !(upstreamError(error) instanceof TemporarilyUnavailableError)))
    return optional ? {} : fail(error)
  })
  const identity = readIdentity({ issuer, userinfo, idToken, subjectClaim })
  return { ...identity, claims: await further.complete(identity.claims, accessToken).catch(fail) }
}

/**
 * What the upstream says of a person by now, who logged in some time ago. Unlike at the login, a claim must not be
 * missing because somebody could not be asked.
 * @returns undefined if it cannot say
 * @throws {InvalidGrantError} if it no longer accepts the login
 * @throws {UpstreamError} if it speaks of somebody else, or cannot be understood
 * @throws {TemporarilyUnavailableError} if it cannot be reached
 */
export async function fetchClaims (
  configuration: openid.Configuration,
  source: IdentitySource,
  subject: string,
  options: UserinfoOptions
): Promise<Record<string, unknown> | undefined> {
  const { issuer, userinfoUrl, subjectClaim = SUBJECT_CLAIM, further } = options
  const { userinfo_endpoint: endpoint } = configuration.serverMetadata()
  const { idToken, accessToken } = source
  if (idToken === undefined && userinfoUrl === undefined && (endpoint === undefined || !isNamed(subject))) {
    return undefined
  }
  const userinfo = await fetchUserinfo(configuration, source, options).catch(failReread)
  const identity = readCurrent({ issuer, userinfo, idToken, subjectClaim })
  if (isNamed(subject) && identity.subject !== subject) throw unusable('it now names another person than at the login')
  return await further.complete(identity.claims, accessToken).catch(failReread)
}

/** An upstream that no longer says who somebody is has not ended their login. */
function readCurrent (told: Parameters<typeof readIdentity>[0]): Identity {
  try {
    return readIdentity(told)
  } catch (error) {
    throw error instanceof AccessDeniedError ? unusable(error.detail ?? error.message, error) : error
  }
}

/** What userinfo says; nothing if nobody has to be asked. What fails is thrown as it came. */
async function fetchUserinfo (
  configuration: openid.Configuration,
  { accessToken, idToken }: IdentitySource,
  { userinfoUrl, further }: UserinfoOptions
): Promise<Record<string, unknown>> {
  if (userinfoUrl !== undefined) return await fetchUser(configuration, accessToken, userinfoUrl)
  const { userinfo_endpoint: endpoint } = configuration.serverMetadata()
  if (endpoint === undefined || (idToken !== undefined && hasName(idToken) && !further.isMissing(idToken))) return {}
  const expected = typeof idToken?.sub === 'string' ? idToken.sub : openid.skipSubjectCheck
  return await openid.fetchUserInfo(configuration, accessToken, expected)
}

function hasName ({ name, email }: Readonly<Record<string, unknown>>): boolean {
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
  )
  if (!response.ok) throw response
  const user: unknown = await response.json()
  if (typeof user !== 'object' || user === null) {
    throw new UpstreamError('The login server did not say who you are.', {
      detail: `${url.href} must return a JSON object`
    })
  }
  return { ...user }
}
