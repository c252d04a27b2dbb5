import type { ConsentRecord } from '../consents.js'
import { KeptConsents } from '../rules/consents.js'
import { ExpiringMap, type ExpiringMapOptions } from './expiring-map.js'

/** Standing consents of a single process. */
export class MemoryConsentStore extends KeptConsents {
  readonly #persons: ExpiringMap<ConsentRecord[]>

  constructor (options: ExpiringMapOptions = {}) {
    const persons = new ExpiringMap<ConsentRecord[]>(options)
    super(persons, options.now)
    this.#persons = persons
  }

  /** Stops the housekeeping. */
  close (): void {
    this.#persons.close()
  }
}
