import type Database from 'libsql'
import { cannotUse } from './errors.js'
import { FIRST_FORMAT, SECOND_FORMAT } from './format.js'

/** Marks a file as one of this service. */
export const APPLICATION_ID = 0x6d63706f

/**
 * The steps from each version of the format to the next, the first from an empty file. What was released is never
 * changed: a new version is one more step.
 */
export const MIGRATIONS: readonly string[] = [FIRST_FORMAT, SECOND_FORMAT]

/** @throws {ConfigError} if a file has a version of the format that is not known: nothing of it is changed */
export function refuseNewer (database: Database.Database, file: string, known: number): void {
  const version = readNumber(database, 'PRAGMA user_version')
  if (version >= 0 && version <= known) return
  throw cannotUse(
    file,
    `a newer version of this package has written it (format ${version}, this one knows up to ${known}): ` +
      'install that version'
  )
}

/** Brings a file to the newest version of the format, in one transaction. */
export function migrate (database: Database.Database, migrations: readonly string[]): void {
  const version = readNumber(database, 'PRAGMA user_version')
  database.exec('BEGIN IMMEDIATE')
  for (const step of migrations.slice(version)) database.exec(step)
  database.exec(`PRAGMA application_id = ${APPLICATION_ID}; PRAGMA user_version = ${migrations.length}; COMMIT`)
}

export function readNumber (database: Database.Database, sql: string): number {
  return Number(read(database, sql))
}

export function readText (database: Database.Database, sql: string): string {
  return String(read(database, sql))
}

function read (database: Database.Database, sql: string): unknown {
  const [row] = database.prepare(sql).raw(true).all()
  return Array.isArray(row) ? row[0] : undefined
}
