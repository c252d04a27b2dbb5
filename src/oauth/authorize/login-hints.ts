import { InvalidRequestError } from '../../errors.js'
import type { LoginHints } from '../../stores/authorizations.js'

type HintParameters = Readonly<Record<string, string | undefined>>

/** OpenID Connect Core 3.1.2.1, and Initiating User Registration. */
const PROMPTS: ReadonlySet<string> = new Set(['none', 'login', 'consent', 'select_account', 'create'])
/** Characters of the others: they go into a URL, and are kept with the login. */
const MAX_CHARACTERS = { login_hint: 2048, ui_locales: 256, acr_values: 1024 } as const
const MAX_AGE = /^\d{1,10}$/

/**
 * What a client asks of the login itself. Values of `prompt` that nobody knows are left out.
 * @throws {InvalidRequestError} if it contradicts itself, or cannot be passed on
 */
export function parseLoginHints (parameters: HintParameters): LoginHints {
  const { max_age: maxAge } = parameters
  if (maxAge !== undefined && !MAX_AGE.test(maxAge)) {
    throw new InvalidRequestError('The max_age must be a number of seconds, not negative.')
  }
  const hints: LoginHints = maxAge === undefined ? {} : { max_age: maxAge }
  for (const name of ['login_hint', 'ui_locales', 'acr_values'] as const) {
    const value = parameters[name]
    if (value === undefined) continue
    if (value.length > MAX_CHARACTERS[name] || /\p{Cc}|\p{Cs}/u.test(value)) {
      throw new InvalidRequestError(
        `The ${name} must be at most ${MAX_CHARACTERS[name]} characters long, without control characters.`
      )
    }
    hints[name] = value
  }
  const prompts = readPrompts(parameters)
  if (prompts.includes('none') && prompts.length > 1) {
    throw new InvalidRequestError('The prompt none cannot be combined with others.')
  }
  const known = prompts.filter(prompt => PROMPTS.has(prompt))
  if (known.length > 0) hints.prompt = known.join(' ')
  return hints
}

/**
 * The values of `prompt`. Clients of the SDK add `consent` to every request for `offline_access`, as OpenID Connect
 * Core 11 has them: that says nothing, as our consent page has asked, or has been told not to ask again.
 */
function readPrompts ({ prompt = '', scope = '' }: HintParameters): string[] {
  const prompts = [...new Set(prompt.split(' ').filter(value => value !== ''))]
  return prompts.join(' ') === 'consent' && scope.split(' ').includes('offline_access') ? [] : prompts
}

/** Whether a request, even a malformed one, must not be responded to with a page. */
export function isSilent ({ prompt = '' }: { readonly prompt?: string | undefined } = {}): boolean {
  return prompt.split(' ').includes('none')
}

/** Whether the person is to be asked for their consent, whatever they have said before. */
export function asksForConsent ({ prompt = '' }: LoginHints = {}): boolean {
  return prompt.split(' ').includes('consent')
}

/** The same for somebody who wants to log in with another account. */
export function forOtherAccount ({ login_hint: _, ...hints }: LoginHints = {}): LoginHints {
  return { ...hints, prompt: asksForConsent(hints) ? 'consent select_account' : 'select_account' }
}
