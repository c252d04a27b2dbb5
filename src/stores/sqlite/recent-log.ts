import type { RecentLog, RecentLogBounds } from '../attempts.js'
import type { Command, Query, SqliteDatabase } from './database/database.js'
import { text } from './database/text.js'
import { toMs } from './database/expiring-table.js'
import { readRecord } from './json.js'

export interface SqliteRecentLogOptions extends RecentLogBounds {
  /** Milliseconds since the epoch. Default: Date.now. */
  now?: () => number
}

/** The last entries, in a table of their own. */
export class SqliteRecentLog<T> implements RecentLog<T> {
  readonly #database: SqliteDatabase
  readonly #max: number
  readonly #maxAgeMs: number
  readonly #now: () => number
  readonly #append: Command
  readonly #count: Query<{ entries: number }>
  readonly #dropOldest: Command
  readonly #read: Query<{ record: string }>

  constructor (
    database: SqliteDatabase,
    table: 'login_steps' | 'login_visits',
    { maxEntries, maxAgeSeconds, now = Date.now }: SqliteRecentLogOptions
  ) {
    this.#database = database
    this.#max = maxEntries
    this.#maxAgeMs = toMs(maxAgeSeconds)
    this.#now = now
    this.#append = database.command(`INSERT INTO ${table} (ends_at, record) VALUES (?, ?)`)
    this.#count = database.query(`SELECT entries FROM totals WHERE counted = '${table}'`)
    this.#dropOldest = database.command(
      `DELETE FROM ${table} WHERE number IN (SELECT number FROM ${table} ORDER BY number LIMIT ?)`
    )
    this.#read = database.query(`SELECT ${text('record')} FROM ${table} WHERE ends_at > ? ORDER BY number`)
  }

  async append (entry: T): Promise<void> {
    const json = JSON.stringify(entry)
    this.#database.step(() => {
      this.#append(this.#now() + this.#maxAgeMs, json)
      const beyond = (this.#count()[0]?.entries ?? 0) - this.#max
      if (beyond > 0) this.#dropOldest(beyond)
    })
  }

  async read (): Promise<T[]> {
    return this.#read(this.#now()).map(({ record }) => readRecord<T>(record))
  }
}
