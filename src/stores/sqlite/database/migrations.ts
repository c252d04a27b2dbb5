import type Database from 'libsql'
import { cannotUse } from './errors.js'
import { FIRST_FORMAT } from './format.js'

/** Marks a file as one of this service. */
export const APPLICATION_ID = 0x6d63706f

/**
 * The steps from each version of the format to the next, the first from an empty file. What was released is never
 * changed: a new version is one more step.
 */
export const MIGRATIONS: readonly string[] = [FIRST_FORMAT]

/**
 * Brings a file to the newest version of the format, in one transaction.
 * @throws {ConfigError} if it has a version that is not known
 */
export function migrate (database: Database.Database, file: string, migrations: readonly string[]): void {
  const version = readNumber(database, 'PRAGMA user_version')
  const [known, missing] = [migrations.length, migrations.slice(version)]
  if (version < 0 || version > known) {
    throw cannotUse(
      file,
      `a newer version of this package has written it (format ${version}, this one knows up to ${known}): ` +
        'install that version'
    )
  }
  database.exec('BEGIN IMMEDIATE')
  for (const step of missing) database.exec(step)
  database.exec(`PRAGMA application_id = ${APPLICATION_ID}; PRAGMA user_version = ${known}; COMMIT`)
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
