import { noRoom } from '../memory/registrations.js'
import {
  REGISTRATION_BOUNDS,
  type AddedRegistration,
  type Registration,
  type RegistrationBounds,
  type RegistrationStore
} from '../registrations.js'
import { findExceeded, type Kept } from '../rules/budget.js'
import type { Command, Query, SqliteDatabase } from './database/database.js'
import { text } from './database/text.js'
import { toMs } from './database/expiring-table.js'
import { readRecord } from './json.js'

export interface SqliteRegistrationStoreOptions {
  /** Registrations kept at all, used ones included. Default: 100,000. */
  maxRegistrations?: number
  /** Of those that are not used. */
  bounds?: RegistrationBounds
  /** Milliseconds since the epoch. Default: Date.now. */
  now?: () => number
}

interface Row {
  record: string
}

const NOTHING: Kept = { entries: 0, bytes: 0 }
const USED = ''

/** Registrations in a table of their own. */
export class SqliteRegistrationStore<T extends Registration> implements RegistrationStore<T> {
  readonly #database: SqliteDatabase
  readonly #max: number
  readonly #bounds: RegistrationBounds
  readonly #now: () => number
  readonly #find: Query<Row>
  readonly #add: Command
  readonly #replace: Command
  readonly #keep: Command
  readonly #remove: Query<Row>
  readonly #removeOldestOf: Query<Row>
  readonly #removeOldest: Query<Row>
  readonly #takeExpired: Query<Row>
  readonly #countOf: Query<Kept>
  readonly #countAll: Query<Kept>

  constructor (
    database: SqliteDatabase,
    table: 'clients' | 'upstream_clients',
    { maxRegistrations = 100_000, bounds = REGISTRATION_BOUNDS, now = Date.now }: SqliteRegistrationStoreOptions = {}
  ) {
    this.#database = database
    this.#max = maxRegistrations
    this.#bounds = bounds
    this.#now = now
    this.#find = database.query(`SELECT ${text('record')} FROM ${table} WHERE client_id = ? AND ends_at > ?`)
    this.#add = database.command(
      `INSERT INTO ${table} (client_id, address, bytes, ends_at, record) VALUES (?, ?, ?, ?, ?)`
    )
    this.#replace = database.command(`UPDATE ${table} SET record = ? WHERE client_id = ?`)
    this.#keep = database.command(`UPDATE ${table} SET is_used = 1, ends_at = ?, record = ? WHERE client_id = ?`)
    this.#remove = database.query(`DELETE FROM ${table} WHERE client_id = ? RETURNING ${text('record')}`)
    const remove = (which: string) => `DELETE FROM ${table} WHERE rowid IN (${which}) RETURNING ${text('record')}`
    this.#removeOldestOf = database.query(
      remove(`SELECT rowid FROM ${table} WHERE is_used = 0 AND address = ? ORDER BY rowid LIMIT 1`)
    )
    this.#removeOldest = database.query(
      remove(`SELECT rowid FROM ${table} WHERE is_used = 0 ORDER BY rowid LIMIT 1`)
    )
    this.#takeExpired = database.query(
      remove(`SELECT rowid FROM ${table} WHERE ends_at <= ? ORDER BY ends_at LIMIT ?`)
    )
    this.#countOf = database.query(
      `SELECT entries, bytes FROM counts WHERE counted = '${table}' AND in_group = ?`
    )
    this.#countAll = database.query(`SELECT entries, bytes FROM totals WHERE counted = '${table}'`)
  }

  async add (record: T, address: string): Promise<AddedRegistration<T>> {
    const { clientId, expiresAt } = record
    const json = JSON.stringify(record)
    return this.#database.step(() => {
      const standing = this.#live(clientId)
      if (standing !== undefined) return { standing, evicted: [] }
      this.#remove(clientId)
      const bytes = Buffer.byteLength(json)
      const evicted = this.#makeRoom(address, bytes)
      this.#add(clientId, address, bytes, toMs(expiresAt), json)
      return { standing: record, evicted }
    })
  }

  async find (clientId: string): Promise<T | undefined> {
    return this.#live(clientId)
  }

  async replace (record: T): Promise<void> {
    this.#database.step(() => {
      const standing = this.#live(record.clientId)
      if (standing === undefined) return
      this.#replace(JSON.stringify({ ...record, expiresAt: standing.expiresAt }), record.clientId)
    })
  }

  async keep (clientId: string, expiresAt: number): Promise<void> {
    this.#database.step(() => {
      const record = this.#live(clientId)
      if (record === undefined) return
      const ends = Math.max(record.expiresAt, expiresAt)
      this.#keep(toMs(ends), JSON.stringify({ ...record, expiresAt: ends }), clientId)
    })
  }

  async takeExpired (limit: number): Promise<T[]> {
    return this.#takeExpired(toMs(this.#now() / 1000), limit).map(({ record }) => readRecord<T>(record))
  }

  /** The oldest unused ones go, as many as it takes. */
  #makeRoom (address: string, bytes: number): T[] {
    const evicted: T[] = []
    for (;;) {
      const [all = NOTHING] = this.#countAll()
      const [used = NOTHING] = this.#countOf(USED)
      const [own = NOTHING] = this.#countOf(`of ${address}`)
      const unused = { entries: all.entries - used.entries, bytes: all.bytes - used.bytes }
      const exceeded = findExceeded(this.#bounds, own, unused, bytes) ??
        (all.entries >= this.#max ? 'all' : undefined)
      if (exceeded === undefined) return evicted
      const [removed] = exceeded === 'address' ? this.#removeOldestOf(address) : this.#removeOldest()
      if (removed === undefined) throw noRoom()
      evicted.push(readRecord<T>(removed.record))
    }
  }

  #live (clientId: string): T | undefined {
    const [row] = this.#find(clientId, this.#now())
    return row && readRecord<T>(row.record)
  }
}
