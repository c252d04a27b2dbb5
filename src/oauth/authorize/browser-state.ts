import type { Keyring } from '../keyring.js'
import { newId } from '../secrets.js'

/** What we keep in a person's browser, signed. */
export interface BrowserState {
  /** Random; what is under way is bound to it. */
  id: string
  /** `personHash` of who logged in last here: a hint at whose consents to assume. It proves nothing about who is there now. */
  person?: string
}

const PURPOSE = 'browser state'
const ID = /^[A-Za-z0-9_-]{43}$/

/** Reads and writes `BrowserState` as the value of a cookie. */
export class BrowserStates {
  readonly #keyring: Keyring

  constructor (keyring: Keyring) {
    this.#keyring = keyring
  }

  /** The state in a cookie; a new one where there is no cookie of ours. */
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
