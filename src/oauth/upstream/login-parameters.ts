import { InteractionRequiredError, LoginRequiredError } from '../../errors.js'
import type { LoginHints } from '../../stores/authorizations.js'

interface Asked {
  /** What the client asks for. */
  hints: LoginHints
  /** What the operator always asks for: it counts more, so that no client can lower it. */
  extra: Readonly<Record<string, string>>
  /** `prompt_values_supported` of the upstream's metadata. */
  supported: unknown
  /** Whether we ask for `openid`: without it `prompt` may mean nothing there. */
  isOpenId: boolean
}

// of an authorization request (RFC 6749 4.1.1, 7636 4.3, 9101 5, OpenID Connect Core 3.1.2.1): ours to set
const OUR_PARAMETERS = [
  'client_id',
  'response_type',
  'response_mode',
  'redirect_uri',
  'state',
  'nonce',
  'code_challenge',
  'code_challenge_method',
  'request',
  'request_uri'
]
// clocks differ, and the login takes a while
const LEEWAY_SECONDS = 60

/**
 * Parameters of an authorization request to the upstream that are about the login itself.
 * @throws {InteractionRequiredError} if it must be silent, and cannot be
 */
export function loginParameters ({ hints: { prompt, ...hints }, extra, supported, isOpenId }: Asked): LoginHints {
  const { prompt: always, ...fixed } = Object.fromEntries(
    Object.entries(extra).filter(([name]) => !OUR_PARAMETERS.includes(name))
  )
  const joined = prompt === 'none'
    ? silentPrompt(always, supported, isOpenId)
    : joinPrompts(prompt, always, supported)
  return { ...hints, ...fixed, ...joined !== '' && { prompt: joined } }
}

function silentPrompt (always: string | undefined, supported: unknown, isOpenId: boolean): string {
  if (!isOpenId || (always !== undefined && always !== 'none') || !takes(supported, 'none')) {
    throw new InteractionRequiredError('The login server cannot log anybody in without a page.')
  }
  return 'none'
}

/** The operator's, and those of the client that the upstream takes. */
function joinPrompts (prompt = '', always = '', supported: unknown): string {
  const asked = split(prompt).filter(value =>
    Array.isArray(supported) || value !== 'create' ? takes(supported, value) : false
  )
  const fixed = split(always)
  // with `none` there can be no other
  return [...new Set(asked.length > 0 ? [...fixed.filter(value => value !== 'none'), ...asked] : fixed)].join(' ')
}

const split = (prompt: string): string[] => prompt.split(' ').filter(value => value !== '')

function takes (supported: unknown, prompt: string): boolean {
  return !Array.isArray(supported) || supported.includes(prompt)
}

/**
 * Checks how long ago the person logged in upstream, if it says so (OpenID Connect Core 3.1.3.7).
 * @throws {LoginRequiredError} if that is longer than the client has asked for
 */
export function checkLoginAge (
  idToken: Readonly<Record<string, unknown>> | undefined,
  maxAge: string | undefined,
  nowSeconds: number
): void {
  const loggedInAt = idToken?.auth_time
  if (maxAge === undefined || typeof loggedInAt !== 'number') return
  if (nowSeconds - loggedInAt > Number(maxAge) + LEEWAY_SECONDS) {
    throw new LoginRequiredError('The login is older than the max_age of the request.')
  }
}
