import {
  ATTEMPT_OVERHEAD_BYTES,
  AUTHORIZATION_BOUNDS,
  type AuthorizationBounds,
  type AuthorizationTransaction,
  type AuthorizationTransactionStore,
  type KeptFor
} from '../authorizations.js'
import { tooManyAttempts } from '../memory/authorizations.js'
import { findExceeded, type Kept } from '../rules/budget.js'
import type { Command, Query, SqliteDatabase } from './database/database.js'
import { text } from './database/text.js'
import { toMs } from './database/expiring-table.js'
import { readRecord } from './json.js'

export interface SqliteAuthorizationTransactionStoreOptions {
  bounds?: AuthorizationBounds
  /** Milliseconds since the epoch. Default: Date.now. */
  now?: () => number
}

/** `record` is JSON; null once the attempt is over. */
interface Row {
  record: string | null
}

const NOTHING: Kept = { entries: 0, bytes: 0 }
// more than one, so that what has ended makes room
const DROPPED_BY_ADD = 100

/** Authorization transactions in a table: a login that is under way outlives the process. */
export class SqliteAuthorizationTransactionStore implements AuthorizationTransactionStore {
  readonly #database: SqliteDatabase
  readonly #bounds: AuthorizationBounds
  readonly #now: () => number
  readonly #find: Query<Row>
  readonly #keep: Command
  readonly #empty: Command
  readonly #dropEnded: Command
  readonly #countOf: Query<Kept>
  readonly #countAll: Query<Kept>

  constructor (
    database: SqliteDatabase,
    { bounds = AUTHORIZATION_BOUNDS, now = Date.now }: SqliteAuthorizationTransactionStoreOptions = {}
  ) {
    this.#database = database
    this.#bounds = bounds
    this.#now = now
    this.#find = database.query(`SELECT ${text('record')} FROM authorizations WHERE id = ? AND ends_at > ?`)
    this.#keep = database.command(
      'INSERT OR REPLACE INTO authorizations (id, address, bytes, ends_at, record) VALUES (?, ?, ?, ?, ?)'
    )
    this.#empty = database.command('UPDATE authorizations SET record = NULL, bytes = ? WHERE id = ?')
    this.#dropEnded = database.command(
      'DELETE FROM authorizations WHERE rowid IN ' +
        `(SELECT rowid FROM authorizations WHERE ends_at <= ? ORDER BY ends_at LIMIT ${DROPPED_BY_ADD})`
    )
    this.#countOf = database.query(
      "SELECT entries, bytes FROM counts WHERE counted = 'authorizations' AND in_group = ?"
    )
    this.#countAll = database.query("SELECT entries, bytes FROM totals WHERE counted = 'authorizations'")
  }

  async add (
    id: string,
    transaction: AuthorizationTransaction,
    keptFor: KeptFor
  ): Promise<AuthorizationTransaction | undefined> {
    const json = JSON.stringify(transaction)
    return this.#database.step(() => {
      const [standing] = this.#find(id, this.#now())
      if (standing !== undefined) return parse(standing)
      this.#keepNew(id, keptFor, json)
      return parse({ record: json })
    })
  }

  async get (id: string): Promise<AuthorizationTransaction | undefined> {
    return parse(this.#find(id, this.#now())[0])
  }

  async take (id: string): Promise<AuthorizationTransaction | undefined> {
    return this.#database.step(() => {
      const [attempt] = this.#find(id, this.#now())
      if (attempt?.record != null) this.#empty(ATTEMPT_OVERHEAD_BYTES, id)
      return parse(attempt)
    })
  }

  async end (id: string, keptFor: KeptFor): Promise<boolean> {
    return this.#database.step(() => {
      const [attempt] = this.#find(id, this.#now())
      if (attempt === undefined) {
        this.#keepNew(id, keptFor, null)
        return true
      }
      if (attempt.record === null) return false
      this.#empty(ATTEMPT_OVERHEAD_BYTES, id)
      return true
    })
  }

  #keepNew (id: string, { address, ttlSeconds }: KeptFor, record: string | null): void {
    const now = this.#now()
    this.#dropEnded(now)
    const bytes = ATTEMPT_OVERHEAD_BYTES + (record === null ? 0 : Buffer.byteLength(record))
    const [[own = NOTHING], [all = NOTHING]] = [this.#countOf(address), this.#countAll()]
    if (findExceeded(this.#bounds, own, all, bytes) !== undefined) throw tooManyAttempts()
    this.#keep(id, address, bytes, now + toMs(ttlSeconds), record)
  }
}

function parse (attempt: Row | undefined): AuthorizationTransaction | undefined {
  return attempt?.record == null ? undefined : readRecord(attempt.record)
}
