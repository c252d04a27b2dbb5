import type { StepRequest } from '../login-events.js'
import type { Keyring } from '../keyring.js'
import { newId } from '../secrets.js'

/** Kept in a person's browser, signed. */
export interface BrowserState {
  /** Random; attempts are bound to it. */
  id: string
  /** `personHash` of the last login here: a hint at whose consents to assume, no proof of who is there now. */
  person?: string
}

/** A browser, and the address to which what is stored for it is charged. */
export interface Visitor {
  browser: BrowserState
  address: string
  /** The browser's request, for observers. */
  http?: StepRequest
}

const PURPOSE = 'browser state'
const ID = /^[A-Za-z0-9_-]{43}$/

/** Reads and writes `BrowserState` as the value of a cookie. */
export class BrowserStates {
  readonly #keyring: Keyring

  constructor (keyring: Keyring) {
    this.#keyring = keyring
  }

  /** The state in a cookie; a new one if there is none, or we did not sign it. */
  read (cookie: string | undefined): BrowserState {
    const [id = '', person = ''] = (cookie === undefined ? '' : this.#keyring.verify(PURPOSE, cookie) ?? '').split('~')
    if (!ID.test(id)) return { id: newId() }
    return { id, ...ID.test(person) && { person } }
  }

  /** The cookie's value for a state. */
  write ({ id, person }: BrowserState): string {
    return this.#keyring.sign(PURPOSE, person === undefined ? id : `${id}~${person}`)
  }
}
