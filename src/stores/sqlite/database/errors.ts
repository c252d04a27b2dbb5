import { ConfigError, OperatorNeededError, passesIn, TemporarilyUnavailableError } from '../../../errors.js'
import { getMember } from '../../../members.js'

const DAMAGED = 'it is damaged, or it is not a file of this service: restore a copy of it, or move it away'
const OPENED_ALREADY = 'another process, or another part of this one, has opened it. One process uses a file: ' +
  'replicas need Redis'
const NO_ROOM = 'its disk is full: make room'
const READ_ONLY = 'it cannot be written: make it and its directory writable for this process'
const NO_ACCESS = 'it cannot be opened: make it and its directory accessible for this process'

/** By the result codes of SQLite, and of the system: what is wrong with the file, and what to do. */
const CAUSES: ReadonlyArray<[code: RegExp, cause: string]> = [
  [/^(?:SQLITE_FULL|ENOSPC|EDQUOT)/, NO_ROOM],
  [/^(?:SQLITE_READONLY|EROFS)/, READ_ONLY],
  [/^(?:SQLITE_CANTOPEN|SQLITE_PERM|SQLITE_AUTH|EACCES|EPERM)/, NO_ACCESS],
  [/^SQLITE_(?:CORRUPT|NOTADB|FORMAT)/, DAMAGED],
  [/^(?:SQLITE_(?:IOERR|NOLFS|PROTOCOL)|EIO)/, 'its disk cannot be read or written: look at the disk'],
  [/^(?:SQLITE_BUSY|SQLITE_LOCKED)/, OPENED_ALREADY],
  [/^(?:ENOENT|ENOTDIR)/, 'its directory does not exist: make it']
]

/** The result code of SQLite or of the system, such as `SQLITE_FULL` or `EACCES`. */
function codeOf (error: unknown): string {
  const code = getMember(error, 'code')
  return typeof code === 'string' ? code : ''
}

/** Whether the file is open elsewhere. */
export function isBusy (error: unknown): boolean {
  return /^SQLITE_(?:BUSY|LOCKED)/.test(codeOf(error))
}

/** @returns what is wrong with the file, and what to do; undefined: the error is not about the file */
export function findCause (error: unknown): string | undefined {
  return CAUSES.find(([pattern]) => pattern.test(codeOf(error)))?.[1]
}

/** What stops the start: one line that names the file. */
export function cannotUse (file: string, cause: string = OPENED_ALREADY, error?: unknown): ConfigError {
  return new ConfigError(`createSqliteStores: ${file} cannot be used: ${cause}.`, { cause: error })
}

/** The error of a step, for its caller: it is the operator who has to act; what was there before is still there. */
export function toOutage (error: unknown, file: string): unknown {
  const cause = findCause(error)
  return cause === undefined ? error : outage(`${file}: ${cause} (${codeOf(error)})`, error)
}

/** The error of a step, if it comes at start. */
export function toConfigError (file: string, error: unknown): unknown {
  const found = error instanceof OperatorNeededError ? error.cause : error
  const cause = findCause(found)
  return cause === undefined ? error : cannotUse(file, cause, found)
}

/** What the callers of a store that cannot be used get. */
export function outage (detail: string, cause?: unknown): OperatorNeededError {
  return new OperatorNeededError('This server cannot use its store.', { detail: `SQLite: ${detail}`, cause })
}

/** Something in the file is not what was written. @param what it is */
export function damaged (what: string, cause?: unknown): OperatorNeededError {
  return outage(`${what}: ${DAMAGED}`, cause)
}

/** What who comes late gets. */
export function closed (): TemporarilyUnavailableError {
  return new TemporarilyUnavailableError(
    ...passesIn(2, 'This server cannot reach its store.', { detail: 'SQLite: the stores are closed' })
  )
}
