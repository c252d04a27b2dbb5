import { createRequire } from 'node:module'
import type Database from 'libsql'
import { ConfigError } from '../../../errors.js'
import { getMember } from '../../../members.js'

const load: (name: string) => unknown = createRequire(import.meta.url)

/**
 * Loads libsql, late: only what is kept in a file needs it, and not every machine has a build of it.
 * @throws {ConfigError} with one line
 */
export function loadLibsql (): typeof Database {
  try {
    const loaded = load('libsql')
    if (isDatabase(loaded)) return loaded
    throw new Error('It exports something else.')
  } catch (cause) {
    throw new ConfigError(
      `Nothing can be kept in a file: the package libsql cannot be loaded (${String(getMember(cause, 'code'))}). It ` +
        `has no build for ${process.platform}-${process.arch}, or npm left that out (--omit=optional). Set ` +
        'DATA_DIR=memory, or REDIS_URL.',
      { cause }
    )
  }
}

function isDatabase (loaded: unknown): loaded is typeof Database {
  return typeof loaded === 'function'
}
