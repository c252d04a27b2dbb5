import type { AuthorizationTransaction } from '../../stores/authorizations.js'
import { AccessDeniedError, InvalidRequestError } from '../../errors.js'
import type { BrowserState } from './browser-state.js'
import type { Keyring } from '../keyring.js'
import { hashSecret } from '../secrets.js'

/** Sealed in a hidden field of the consent page. Until the person agrees, their attempt is kept nowhere else. */
export interface ConsentForm {
  /** Names the attempt; good once. */
  id: string
  /** The request that the page asks about. Once the person has logged in, the one in the store counts. */
  transaction: AuthorizationTransaction
  /** Whether the person has logged in already: the rest of the attempt is in the store. */
  loggedIn: boolean
  /** Milliseconds since the epoch: when the page was made. */
  askedAt: number
}

export interface ConsentFormsOptions {
  keyring: Keyring
  /** How long a page may be answered. */
  seconds: number
  now: () => number
}

const PURPOSE = 'consent form'

/** Seals and opens the hidden field of consent pages. */
export class ConsentForms {
  readonly #options: ConsentFormsOptions

  constructor (options: ConsentFormsOptions) {
    this.#options = options
  }

  /** Seals a form. If it was asked before, it keeps its age. */
  seal (form: Omit<ConsentForm, 'askedAt'> & { askedAt?: number }): string {
    return this.#options.keyring.seal(PURPOSE, { askedAt: this.#options.now(), ...form })
  }

  /**
   * @throws {InvalidRequestError} if it is not ours, or has expired
   * @throws {AccessDeniedError} where the page was another browser's
   */
  open (sealed: string, browser: BrowserState): ConsentForm {
    const { keyring, seconds, now } = this.#options
    const form = keyring.open(PURPOSE, sealed)
    if (!isForm(form) || form.askedAt + seconds * 1000 <= now()) throw loginOver()
    checkBrowser(form.transaction, browser)
    return form
  }
}

// nobody else can seal one
function isForm (value: unknown): value is ConsentForm {
  return typeof value === 'object' && value !== null && 'transaction' in value
}

/** @throws {AccessDeniedError} if the attempt began in another browser */
export function checkBrowser ({ browserHash }: AuthorizationTransaction, browser: BrowserState): void {
  if (browserHash === hashSecret(browser.id)) return
  throw new AccessDeniedError(
    'This login began in another browser, or this browser blocks cookies. Start again in your app.',
    {
      detail: 'the browser cookie is not that of the attempt',
      reason: 'other_browser'
    }
  )
}

/** The attempt is unknown, done, or too old. */
export function loginOver (): InvalidRequestError {
  return new InvalidRequestError('This login is over, or took too long. Start again in your app.', {
    reason: 'login_over'
  })
}
