import { MAX_CONSENTS_OF_ONE, type ConsentKey, type ConsentRecord, type ConsentStore } from '../consents.js'
import type { ExpiringEntries } from './expiring-entries.js'

/** Standing consents, all of a person in one entry: they are few. */
export class KeptConsents implements ConsentStore {
  readonly #persons: ExpiringEntries<ConsentRecord[]>
  readonly #now: () => number

  /** @param now milliseconds since the epoch */
  constructor (persons: ExpiringEntries<ConsentRecord[]>, now: () => number = Date.now) {
    this.#persons = persons
    this.#now = now
  }

  async remember (person: string, consent: ConsentRecord): Promise<void> {
    const others = this.#of(person).filter(other => !isFor(other, consent))
    const all = [...others, structuredClone(consent)].sort((a, b) => a.expiresAt - b.expiresAt)
    this.#keep(person, all.slice(-MAX_CONSENTS_OF_ONE))
  }

  async find (person: string, key: ConsentKey): Promise<ConsentRecord | undefined> {
    return structuredClone(this.#of(person).find(consent => isFor(consent, key)))
  }

  async forget (person: string, clientId?: string): Promise<void> {
    this.#keep(person, clientId === undefined ? [] : this.#of(person).filter(consent => consent.clientId !== clientId))
  }

  /** Those that have not expired; the ones that end first come first. */
  #of (person: string): ConsentRecord[] {
    return (this.#persons.get(person) ?? []).filter(({ expiresAt }) => expiresAt > this.#now() / 1000)
  }

  #keep (person: string, consents: ConsentRecord[]): void {
    const last = consents.at(-1)
    if (last === undefined) this.#persons.take(person)
    else this.#persons.set(person, consents, last.expiresAt)
  }
}

function isFor (consent: ConsentKey, { clientId, redirectUri, resource }: ConsentKey): boolean {
  return consent.clientId === clientId && consent.redirectUri === redirectUri && consent.resource === resource
}
