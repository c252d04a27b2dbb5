import { MAX_CONSENTS_OF_ONE, type ConsentKey, type ConsentRecord, type ConsentStore } from '../consents.js'
import { ExpiringMap, type ExpiringMapOptions } from './expiring-map.js'

/** Standing consents of a single process. */
export class MemoryConsentStore implements ConsentStore {
  readonly #persons: ExpiringMap<ConsentRecord[]>
  readonly #now: () => number

  constructor (options: ExpiringMapOptions = {}) {
    this.#persons = new ExpiringMap(options)
    this.#now = options.now ?? Date.now
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

  /** Stops the housekeeping. */
  close (): void {
    this.#persons.close()
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
