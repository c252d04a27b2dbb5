import { hashOf, newId } from './secrets.js'
import type { Keyring } from './keyring.js'

/** What we keep in a person's browser, signed: who it is to us, and the consents it remembers. */
export interface BrowserState {
  /** Random; authorization transactions are bound to it. */
  id: string
  /** Remembered consents, oldest first: what was agreed to (hashed) -> epoch seconds of its end. */
  consents: ReadonlyMap<string, number>
}

/** What a consent covers. Another redirect URI, scope or resource is asked for anew. */
export interface ConsentScope {
  clientId: string
  redirectUri: string
  resource: string
  scopes: readonly string[]
}

const PURPOSE = 'browser state'
const MAX_CONSENTS = 20
const ID = /^[A-Za-z0-9_-]{43}$/

/** Reads and writes `BrowserState` as the value of a cookie. */
export class BrowserStates {
  readonly #keyring: Keyring
  readonly #now: () => number

  constructor (keyring: Keyring, now: () => number) {
    this.#keyring = keyring
    this.#now = now
  }

  /** The state in a cookie; a new one where there is no cookie of ours. */
  read (cookie: string | undefined): BrowserState {
    const [id = '', ...consents] = (cookie === undefined ? '' : this.#keyring.verify(PURPOSE, cookie) ?? '').split('~')
    if (!ID.test(id)) return { id: newId(), consents: new Map() }
    const now = this.#now() / 1000
    const entries = consents.map(consent => consent.split(':')).map(([key = '', until]) => [key, Number(until)] as const)
    return { id, consents: new Map(entries.filter(([, until]) => until > now)) }
  }

  /** The cookie's value for a state. */
  write ({ id, consents }: BrowserState): string {
    return this.#keyring.sign(PURPOSE, [id, ...[...consents].slice(-MAX_CONSENTS).map(([key, until]) => `${key}:${until}`)].join('~'))
  }

  /** Whether this browser remembers a consent. */
  remembers (state: BrowserState, consent: ConsentScope): boolean {
    return state.consents.has(keyOf(state, consent))
  }

  /** The state with a consent remembered. */
  remember (state: BrowserState, consent: ConsentScope, seconds: number): BrowserState {
    return { ...state, consents: new Map([...state.consents, [keyOf(state, consent), Math.floor(this.#now() / 1000) + seconds]]) }
  }
}

function keyOf ({ id }: BrowserState, { clientId, redirectUri, resource, scopes }: ConsentScope): string {
  return hashOf(JSON.stringify([id, clientId, redirectUri, resource, [...scopes].sort()])).slice(0, 22)
}
