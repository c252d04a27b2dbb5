import { chmodSync, closeSync, lstatSync, openSync, realpathSync, type Stats } from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import { cannotUse, findCause } from './errors.js'

// nobody else may read or write it: it says who uses what, and who adds a grant to it is let in
const MODE = 0o600
const OF_OTHERS = 0o077
/** What SQLite keeps beside the file. */
const COMPANIONS = ['-wal', '-journal', '-shm']

/*
 * A file is never opened here once it exists: to close it again would end the locks that this process has on it
 * (POSIX, fcntl), and SQLite would not notice.
 */

/**
 * Makes the file unless it exists, for this user alone.
 * @returns its path, without links on the way
 * @throws {ConfigError} if it cannot be used
 */
export function prepareFile (given: string): string {
  const named = resolve(given)
  try {
    const file = join(realpathSync(dirname(named)), basename(named))
    if (find(file) === undefined) create(file)
    check(file, 'a regular file')
    for (const companion of COMPANIONS) check(file + companion, 'a regular file')
    return file
  } catch (error) {
    const cause = findCause(error)
    throw cause === undefined ? error : cannotUse(named, cause, error)
  }
}

/** Names a file, and not one that has taken its place; undefined: it is gone. */
export function identify (file: string): string | undefined {
  const stats = find(file)
  return stats && `${stats.dev}:${stats.ino}`
}

function find (path: string): Stats | undefined {
  return lstatSync(path, { throwIfNoEntry: false })
}

function create (file: string): void {
  try {
    closeSync(openSync(file, 'wx', MODE))
  } catch (error) {
    // another process was faster
    if (find(file) === undefined) throw error
  }
}

/** Through a link somebody else would say where we write; by a second name a file would have a second log. */
function check (path: string, takes: string): void {
  const stats = find(path)
  if (stats === undefined) return
  if (!stats.isFile()) throw cannotUse(path, `it is not ${takes}: name one, not a link to it`)
  if (stats.nlink > 1) throw cannotUse(path, 'it has another name, too (a hard link): remove one of them')
  if ((stats.mode & OF_OTHERS) === 0) return
  try {
    chmodSync(path, MODE)
  } catch (error) {
    throw cannotUse(path, 'others may read or write it: make it yours, with mode 600', error)
  }
}
