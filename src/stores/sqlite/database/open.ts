import type Libsql from 'libsql'
import { giveUpLock, release, SqliteDatabase } from './database.js'
import { cannotUse, isBusy, toConfigError } from './errors.js'
import { prepareFile } from './file.js'
import { loadLibsql } from './libsql.js'
import { APPLICATION_ID, migrate, MIGRATIONS, readNumber, readText, refuseNewer } from './migrations.js'

export interface SqliteDatabaseOptions {
  file: string
  /** Whether each step waits until the disk has it. */
  fullSync?: boolean
  /** The steps from each version of the format to the next. Default: those that there are. */
  migrations?: readonly string[]
  /** Bytes that must be free on the disk for this process to be ready. Default: 64 KiB. */
  leastRoomBytes?: number
}

// two that begin at once can stand in each other's way
const ATTEMPTS = 8
const PAUSE_MS = 25
/** Files that this process has open. */
const openFiles = new Set<string>()

/**
 * Opens the file, or makes it, for this process alone.
 * @throws {ConfigError} with one line that names it
 */
export function openDatabase ({ file: given, leastRoomBytes, ...options }: SqliteDatabaseOptions): SqliteDatabase {
  const Database = loadLibsql()
  const file = prepareFile(given)
  if (openFiles.has(file)) throw cannotUse(file)
  for (let attempt = 1; ; attempt++) {
    try {
      const database = new OpenDatabase(open(new Database(file, { timeout: 0 }), file, options), file, leastRoomBytes)
      openFiles.add(file)
      return database
    } catch (error) {
      if (!isBusy(error) || attempt === ATTEMPTS) throw toConfigError(file, error)
      sleep(PAUSE_MS * (1 + Math.random()))
    }
  }
}

class OpenDatabase extends SqliteDatabase {
  override close (): void {
    super.close()
    openFiles.delete(this.file)
  }
}

function open (
  database: Libsql.Database,
  file: string,
  { fullSync = false, migrations = MIGRATIONS }: Pick<SqliteDatabaseOptions, 'fullSync' | 'migrations'>
): Libsql.Database {
  let isOurs = false
  try {
    // before anything is read: then the index of the log needs no shared memory, and the lock stays
    database.exec('PRAGMA locking_mode = EXCLUSIVE')
    refuseForeign(database, file)
    refuseNewer(database, file, migrations.length)
    isOurs = true
    if (readText(database, 'PRAGMA journal_mode = WAL') !== 'wal') {
      throw cannotUse(file, 'its file system has no locks: put it on a local disk')
    }
    database.exec(`PRAGMA synchronous = ${fullSync ? 'FULL' : 'NORMAL'}`)
    for (const setting of SETTINGS) database.exec(`PRAGMA ${setting}`)
    migrate(database, migrations)
    return database
  } catch (error) {
    if (isOurs) release(database)
    else abandon(database)
    throw error
  }
}

const SETTINGS = [
  'foreign_keys = ON',
  // what is replaced is counted as removed
  'recursive_triggers = ON',
  // what is deleted is overwritten, as far as that writes no more pages
  'secure_delete = FAST',
  'trusted_schema = OFF',
  'cell_size_check = ON',
  // after a burst, the log shrinks to this
  'journal_size_limit = 16777216',
  'cache_size = -16000'
]

/** @throws {ConfigError} if the file is that of another program: nothing of it is changed */
function refuseForeign (database: Libsql.Database, file: string): void {
  if (readNumber(database, 'PRAGMA application_id') === APPLICATION_ID) return
  if (readNumber(database, 'SELECT count(*) FROM sqlite_schema') === 0) return
  throw cannotUse(file, 'it is the database of another program: name another file')
}

/** Closes a file that cannot be used, as it is. */
function abandon (database: Libsql.Database): void {
  try {
    giveUpLock(database)
  } catch {
    // why it cannot be used is known
  }
  database.close()
}

function sleep (ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms)
}
