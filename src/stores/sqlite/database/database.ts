import type Libsql from 'libsql'
import { statfsSync } from 'node:fs'
import { dirname } from 'node:path'
import { closed, outage, toOutage } from './errors.js'
import { identify } from './file.js'
import { decodeText } from './text.js'

/** Of nothing else: libsql ends the process when it is given `true` or `undefined`. */
type SqlValue = string | number | null

/** Runs a query. @returns all rows */
export type Query<Row> = (...values: SqlValue[]) => Row[]

/** Runs a statement that returns no rows. @returns how many rows were changed */
export type Command = (...values: SqlValue[]) => number

type Statement = ReturnType<Libsql.Database['prepare']>

// the columns of a query are what its text says
const readRows: <Row extends object>(all: Statement['all'], statement: Statement, values: SqlValue[]) => Row[] =
  Reflect.apply

// with less than this, the next steps fail
const LEAST_ROOM_BYTES = 65_536
// anybody may ask whether this process is ready
const CHECK_EVERY_MS = 1000

/**
 * The file, which is this process's alone, so that every step runs at once and alone. What a step has written when it
 * returns is there after the process was killed.
 */
export class SqliteDatabase {
  readonly file: string
  readonly #database: Libsql.Database
  readonly #leastRoom: number
  readonly #identity: string | undefined
  readonly #begin: Command
  readonly #commit: Command
  readonly #rollback: Command
  readonly #probe: Command
  #isOpen = true
  #checked: { at: number, fault: Error | undefined } | undefined

  /**
   * @param database open, with the tables of this version
   * @param leastRoom bytes that must be free on its disk for this process to be ready
   */
  constructor (database: Libsql.Database, file: string, leastRoom: number = LEAST_ROOM_BYTES) {
    this.#database = database
    this.#leastRoom = leastRoom
    this.file = file
    this.#identity = identify(file)
    this.#begin = this.command('BEGIN IMMEDIATE')
    this.#commit = this.command('COMMIT')
    this.#rollback = this.command('ROLLBACK')
    this.#probe = this.command('UPDATE service SET checked_at = ?')
  }

  /** Prepares a query, which names columns of text by `text`. Rows are objects by the names of the columns. */
  query<Row extends object> (sql: string): Query<Row> {
    const statement = this.#database.prepare(sql)
    const readsText = statement.columns().some(({ type }) => type === 'TEXT')
    if (readsText) throw new TypeError(`This reads a text as it is: ${sql}`)
    // of its other methods, get() binds nothing after an error: it would respond to the question before
    return (...values) => this.#run(() => readRows<Row>(statement.all, statement, values).map(decodeText))
  }

  /** Prepares a statement that returns no rows. */
  command (sql: string): Command {
    const statement = this.#database.prepare(sql)
    return (...values) => this.#run(() => statement.run(...values).changes)
  }

  /** Runs several statements in one transaction: all of them have an effect, or none. A step may contain another. */
  step<T> (act: () => T): T {
    // libsql ends the process if it is asked about a connection that was closed
    if (!this.#isOpen) throw closed()
    if (this.#database.inTransaction) return act()
    this.#begin()
    try {
      const result = act()
      this.#commit()
      return result
    } catch (error) {
      // some errors have done that already
      if (this.#isOpen && this.#database.inTransaction) this.#rollback()
      throw error
    }
  }

  /**
   * Writes something, once a second at most.
   * @throws {TemporarilyUnavailableError} if that fails, or will soon
   */
  check (): void {
    const now = performance.now()
    if (this.#checked === undefined || now - this.#checked.at >= CHECK_EVERY_MS) {
      this.#checked = { at: now, fault: this.#findFault() }
    }
    if (this.#checked.fault !== undefined) throw this.#checked.fault
  }

  /** Moves everything into the file, and lets go of it. */
  close (): void {
    if (!this.#isOpen) return
    this.#isOpen = false
    release(this.#database)
  }

  #findFault (): Error | undefined {
    try {
      this.#probe(Date.now())
      const { bavail, bsize } = statfsSync(dirname(this.file))
      if (bavail * bsize < this.#leastRoom) return outage(`${this.file}: its disk is full: make room`)
      if (identify(this.file) === this.#identity) return undefined
      return outage(`${this.file}: it was removed or replaced, and what is written is lost: restart the service`)
    } catch (error) {
      return error instanceof Error ? error : new Error(String(error))
    }
  }

  #run<T> (act: () => T): T {
    // a connection that was closed lives as long as its statements, and would write
    if (!this.#isOpen) throw closed()
    try {
      return act()
    } catch (error) {
      throw toOutage(error, this.file)
    }
  }
}

/**
 * Ends a connection. Its prepared statements keep its locks until they are collected as garbage, so these go first:
 * without its log, the file needs no lock of its own.
 */
export function release (database: Libsql.Database): void {
  try {
    if (database.inTransaction) database.exec('ROLLBACK')
    database.exec('PRAGMA journal_mode = DELETE')
    giveUpLock(database)
  } catch {
    // what is in the log is read from there at the next start
  }
  database.close()
}

/** Lets go of the lock of a file that has no log. */
export function giveUpLock (database: Libsql.Database): void {
  database.exec('PRAGMA locking_mode = NORMAL')
  database.exec('SELECT 1 FROM sqlite_schema')
}
