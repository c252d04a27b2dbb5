import {
  AccessDeniedError,
  AccountSelectionRequiredError,
  ConsentRequiredError,
  InteractionRequiredError,
  LoginRequiredError,
  type OAuthError
} from '../../errors.js'
import type { AuthorizationTransaction } from '../../stores/authorizations.js'
import type { BrowserState } from './browser-state.js'
import { hashSecret } from '../secrets.js'

/*
 * `prompt=none` (OpenID Connect Core 3.1.2.1): the person must see no page. What would take one is an error that the
 * client gets by redirect.
 */

const NEEDS_LOGIN = 'The person must log in.'

/** What the upstream may say of a silent request (OpenID Connect Core 3.1.2.6). */
const ERRORS: Readonly<Record<string, () => OAuthError>> = {
  login_required: () => new LoginRequiredError(NEEDS_LOGIN),
  consent_required: () => new ConsentRequiredError('The login server must ask the person for their consent.'),
  interaction_required: () => new InteractionRequiredError('The login server must show the person something.'),
  account_selection_required: () => new AccountSelectionRequiredError('The person must choose an account.')
}

/** Why a request cannot go upstream silently: nobody has logged in at this browser, or they must be asked. */
export function silentRefusal ({ person }: BrowserState): OAuthError {
  return person === undefined ? new LoginRequiredError(NEEDS_LOGIN) : consentNeeded()
}

/** The person must be asked for their consent. */
export function consentNeeded (): OAuthError {
  return new ConsentRequiredError('The person must be asked for their consent.')
}

/** The error of a silent login: what the upstream has said, in its own code. */
export function silentError (error: unknown, query: string): unknown {
  const code = new URLSearchParams(query).get('error') ?? ''
  const made = Object.hasOwn(ERRORS, code) ? ERRORS[code] : undefined
  return error instanceof AccessDeniedError && made !== undefined ? made() : error
}

/** @throws {LoginRequiredError} if a login began in another browser, or this one keeps no cookie for it */
export function checkSameBrowser ({ browserHash }: AuthorizationTransaction, browser: BrowserState): void {
  if (browserHash !== hashSecret(browser.id)) throw new LoginRequiredError(NEEDS_LOGIN, { reason: 'other_browser' })
}
