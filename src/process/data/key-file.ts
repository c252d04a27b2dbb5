import { randomBytes } from 'node:crypto'
import {
  closeSync,
  constants,
  fchmodSync,
  fstatSync,
  fsyncSync,
  linkSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync
} from 'node:fs'
import { toCode } from '../../config/text-file.js'
import { ConfigError } from '../../errors.js'
import { Keyring } from '../../oauth/keyring.js'

// nobody but the user of this process
const MODE = 0o600
const OTHERS = 0o077
// any number of keys that are being rotated
const MAX_BYTES = 16_384
// file systems without hard links
const NO_LINKS: ReadonlySet<string> = new Set(['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK'])

/**
 * Reads the keys of a file, which has the form of ENCRYPTION_KEYS. If there is none, one is made, of mode 0600, and put
 * there whole: no other process, and nobody after a crash, finds a part of it.
 * @returns the keys, and whether they are new
 * @throws {ConfigError} with one line that names the file, and never shows what is in it
 * @throws what the file system has against a new file
 */
export function readOrMakeKeys (file: string): { keys: string, isNew: boolean } {
  const keys = readKeys(file)
  if (keys !== undefined) return { keys, isNew: false }
  makeKeys(file)
  const made = readKeys(file)
  if (made === undefined) throw new ConfigError(`The key file ${file} leads nowhere: is it a broken symbolic link?`)
  return { keys: made, isNew: true }
}

/** @returns undefined if there is no such file */
function readKeys (file: string): string | undefined {
  let descriptor: number
  try {
    // a pipe would wait for who writes to it
    descriptor = openSync(file, constants.O_RDONLY | constants.O_NONBLOCK)
  } catch (error) {
    const code = toCode(error)
    if (code === 'ENOENT') return undefined
    throw new ConfigError(`The key file ${file} cannot be read (${code}): let the user of this process read it.`, {
      cause: error
    })
  }
  try {
    const stats = fstatSync(descriptor)
    if (!stats.isFile()) throw new ConfigError(`The key file ${file} must be a regular file.`)
    if (canOthersRead(stats.mode)) {
      throw new ConfigError(
        `The key file ${file} is open to others (mode ${toOctal(stats.mode)}): chmod 600 it, and if somebody may ` +
          'have read it, put a new key in front.'
      )
    }
    const keys = stats.size > MAX_BYTES ? '' : readFileSync(descriptor, 'utf8').trim()
    if (Keyring.canParse(keys)) return keys
    throw new ConfigError(
      `The key file ${file} is not valid; it takes what ENCRYPTION_KEYS takes. Put its backup there, or delete it: ` +
        'then a new key is made, and everybody logs in again.'
    )
  } finally {
    closeSync(descriptor)
  }
}

function makeKeys (file: string): void {
  const unfinished = `${file}.${randomBytes(6).toString('hex')}.new`
  try {
    const descriptor = openSync(unfinished, 'wx', MODE)
    try {
      // whatever the umask
      fchmodSync(descriptor, MODE)
      if (canOthersRead(fstatSync(descriptor).mode)) throw new Error('its file system keeps no permissions')
      writeFileSync(descriptor, `data-${randomBytes(4).toString('hex')}:${randomBytes(32).toString('base64url')}\n`)
      fsyncSync(descriptor)
    } finally {
      closeSync(descriptor)
    }
    moveTo(unfinished, file)
  } finally {
    rmSync(unfinished, { force: true })
  }
}

/** A link is refused if another process was faster. Without links, the last one wins. */
function moveTo (unfinished: string, file: string): void {
  try {
    linkSync(unfinished, file)
  } catch (error) {
    const code = toCode(error)
    if (code === 'EEXIST') return
    if (!NO_LINKS.has(code)) throw error
    renameSync(unfinished, file)
  }
}

/** Windows has no such permissions: its directories protect what is in them. */
function canOthersRead (mode: number): boolean {
  return process.platform !== 'win32' && (mode & OTHERS) !== 0
}

function toOctal (mode: number): string {
  return (mode & 0o7777).toString(8).padStart(4, '0')
}
