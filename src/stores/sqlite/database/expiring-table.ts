import type { ExpiringEntries } from '../../rules/expiring-entries.js'
import type { Command, Query, SqliteDatabase } from './database.js'
import { text } from './text.js'

/** How values are written as text. */
export interface Codec<V> {
  write (value: V): string
  read (text: string): V
}

export interface ExpiringTableOptions<V> {
  name: 'metadata_documents' | 'consents' | 'used_calls' | 'anonymous_used_calls' | 'lasting_leases' | 'codes'
  codec: Codec<V>
  /** Entries kept; beyond, the oldest go first. Default: 100,000. */
  maxEntries?: number | undefined
  /** Milliseconds since the epoch. Default: Date.now. */
  now?: (() => number) | undefined
}

// some milliseconds
const MAX_DROPPED = 100

/** A table of values that end at a time of their own. Each method is one step. */
export class ExpiringTable<V> implements ExpiringEntries<V> {
  readonly #database: SqliteDatabase
  readonly #codec: Codec<V>
  readonly #max: number
  readonly #now: () => number
  readonly #get: Query<{ record: string }>
  readonly #set: Command
  readonly #take: Query<{ record: string, ends_at: number }>
  readonly #count: Query<{ entries: number }>
  readonly #dropExpired: Command
  readonly #dropOldest: Command

  constructor (
    database: SqliteDatabase,
    { name, codec, maxEntries = 100_000, now = Date.now }: ExpiringTableOptions<V>
  ) {
    this.#database = database
    this.#codec = codec
    this.#max = maxEntries
    this.#now = now
    this.#get = database.query(`SELECT ${text('record')} FROM ${name} WHERE key = ? AND ends_at > ?`)
    this.#set = database.command(`INSERT OR REPLACE INTO ${name} (key, ends_at, record) VALUES (?, ?, ?)`)
    this.#take = database.query(`DELETE FROM ${name} WHERE key = ? RETURNING ${text('record')}, ends_at`)
    this.#count = database.query(`SELECT entries FROM totals WHERE counted = '${name}'`)
    this.#dropExpired = database.command(
      `DELETE FROM ${name} WHERE rowid IN ` +
        `(SELECT rowid FROM ${name} WHERE ends_at <= ? ORDER BY ends_at LIMIT ${MAX_DROPPED})`
    )
    this.#dropOldest = database.command(
      `DELETE FROM ${name} WHERE rowid IN (SELECT rowid FROM ${name} ORDER BY rowid LIMIT ?)`
    )
  }

  /** Entries kept, expired ones included until they are dropped. */
  get size (): number {
    return this.#count()[0]?.entries ?? 0
  }

  get (key: string): V | undefined {
    const [row] = this.#get(key, this.#now())
    return row && this.#codec.read(row.record)
  }

  set (key: string, value: V, expiresAt: number): void {
    this.#database.step(() => {
      this.#set(key, toMs(expiresAt), this.#codec.write(value))
      const beyond = this.size - this.#max
      if (beyond > 0) this.#dropOldest(beyond)
    })
  }

  take (key: string): V | undefined {
    const [row] = this.#take(key)
    return row === undefined || row.ends_at <= this.#now() ? undefined : this.#codec.read(row.record)
  }

  /** Drops some of what has expired, as the housekeeping does. */
  dropExpired (): void {
    this.#dropExpired(this.#now())
  }
}

/** Whole milliseconds, of seconds. */
export function toMs (seconds: number): number {
  return Math.ceil(seconds * 1000)
}
