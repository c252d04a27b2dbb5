import { passesIn, TemporarilyUnavailableError } from '../../errors.js'
import { outlivesHolder, type LeaseStore } from '../leases.js'
import type { ExpiringMapOptions } from '../memory/expiring-map.js'
import { MemoryLeaseStore } from '../memory/leases.js'
import type { SqliteDatabase } from './database/database.js'
import { ExpiringTable } from './database/expiring-table.js'
import { jsonOf } from './json.js'

const MAX_LASTING = 250_000

/**
 * Leases of a single process: in memory, as those of a process that has ended are over at once. In a table are those
 * that nobody gives back: a client assertion that was used is not good again because the process was restarted.
 */
export class SqliteLeaseStore implements LeaseStore {
  readonly #database: SqliteDatabase
  readonly #ofProcess: MemoryLeaseStore
  readonly #lasting: ExpiringTable<string>
  readonly #max: number
  readonly #now: () => number

  constructor (database: SqliteDatabase, { maxEntries = MAX_LASTING, now }: ExpiringMapOptions = {}) {
    this.#database = database
    this.#ofProcess = new MemoryLeaseStore({ maxEntries, ...now && { now } })
    this.#lasting = new ExpiringTable(database, {
      name: 'lasting_leases',
      codec: jsonOf<string>(),
      maxEntries,
      ...now && { now }
    })
    this.#max = maxEntries
    this.#now = now ?? Date.now
  }

  async acquire (name: string, holder: string, ttlMs: number): Promise<boolean> {
    if (!outlivesHolder(name)) return await this.#ofProcess.acquire(name, holder, ttlMs)
    return this.#database.step(() => {
      const current = this.#lasting.get(name)
      if (current !== undefined && current !== holder) return false
      this.#lasting.dropExpired()
      if (current === undefined && this.#lasting.size >= this.#max) {
        throw new TemporarilyUnavailableError(...passesIn(30, 'Too much is under way.'))
      }
      this.#lasting.set(name, holder, (this.#now() + ttlMs) / 1000)
      return true
    })
  }

  async isHeld (name: string): Promise<boolean> {
    return outlivesHolder(name) ? this.#lasting.get(name) !== undefined : await this.#ofProcess.isHeld(name)
  }

  async release (name: string, holder: string): Promise<void> {
    if (!outlivesHolder(name)) return await this.#ofProcess.release(name, holder)
    this.#database.step(() => { if (this.#lasting.get(name) === holder) this.#lasting.take(name) })
  }

  /** Stops the housekeeping. */
  close (): void {
    this.#ofProcess.close()
  }
}
