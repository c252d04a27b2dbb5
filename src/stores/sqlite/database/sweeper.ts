import { setImmediate } from 'node:timers/promises'
import type { Query, SqliteDatabase } from './database.js'

/** What has rows that end at a time of their own; what belongs to a row goes with it. */
const TABLES = [
  'authorizations',
  'codes',
  'access_tokens',
  'refresh_tokens',
  'grants',
  'sessions',
  'tasks',
  'metadata_documents',
  'consents',
  'used_calls',
  'anonymous_used_calls',
  'lasting_leases',
  'login_steps',
  'login_visits'
] as const

const SWEEP_MS = 1000
// deleted in one turn: some milliseconds. A grant has up to 42 tokens
const MAX_SWEPT = 100

/**
 * Deletes rows whose time is over, some in each turn: nobody waits for it, and no reader sees them meanwhile.
 * Registrations are not among them: who takes those has something to do upstream.
 */
export class Sweeper {
  readonly #deletions: ReadonlyArray<Query<{ rowid: number }>>
  readonly #now: () => number
  readonly #timer: NodeJS.Timeout
  #isSweeping = false
  #isClosed = false

  /** @param now milliseconds since the epoch */
  constructor (database: SqliteDatabase, now: () => number = Date.now) {
    this.#deletions = TABLES.map(table => database.query(
      `DELETE FROM ${table} WHERE rowid IN (SELECT rowid FROM ${table} WHERE ends_at <= ? ORDER BY ends_at ` +
        `LIMIT ${MAX_SWEPT}) RETURNING rowid`
    ))
    this.#now = now
    this.#timer = setInterval(() => { this.sweep().catch(() => {}) }, SWEEP_MS).unref()
  }

  /** Deletes all that is over. Rejects if the file cannot be written: the next time may be better. */
  async sweep (): Promise<void> {
    if (this.#isSweeping) return
    this.#isSweeping = true
    try {
      for (const deleteSome of this.#deletions) {
        while (!this.#isClosed && deleteSome(this.#now()).length === MAX_SWEPT) await setImmediate()
      }
    } finally {
      this.#isSweeping = false
    }
  }

  close (): void {
    this.#isClosed = true
    clearInterval(this.#timer)
  }
}
