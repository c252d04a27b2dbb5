import { accessSync, constants, existsSync, lstatSync, mkdirSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import type { Config } from '../../config/config.js'
import { toCode } from '../../config/text-file.js'
import { ConfigError } from '../../errors.js'
import { quoted } from '../../validation/check.js'
import { readOrMakeKeys } from './key-file.js'

const DEFAULT_DIRECTORY = '.data'
const STATE_FILE = 'state.sqlite'
const DEMO_FILE = 'demo-login.sqlite'
const KEY_FILE = 'encryption-key'
const PRIVATE = 0o700

/** Where a process keeps its state. */
export interface DataDirectory {
  /** The file of the stores; undefined: they are in memory, or in Redis. */
  stateFile: string | undefined
  /** The file of the demo upstream; undefined: in memory. */
  demoFile: string | undefined
  /** Those that are configured, or else those of the key file, if there is one. */
  encryptionKeys: string | undefined
  /** What the log is to say of it. */
  notes: string[]
}

/**
 * Opens the directory in which this process keeps its state: DATA_DIR, or outside production `.data`, if that can be
 * written. The key that encrypts the state is beside it, unless ENCRYPTION_KEYS is set. With Redis, it is only for the
 * demo upstream, and only if DATA_DIR is set.
 * @throws {ConfigError} with one line, if DATA_DIR or the key cannot be used
 */
export function openDataDirectory (config: Config): DataDirectory {
  const { dataDir, mayChooseDataDir, production, redisUrl, encryptionKeys } = config
  const nowhere = { stateFile: undefined, demoFile: undefined, encryptionKeys, notes: [] }
  if (dataDir === undefined) return mayChooseDataDir ? openDefault(encryptionKeys, nowhere) : nowhere
  try {
    if (redisUrl === undefined) return open(dataDir, encryptionKeys)
    // the image has DATA_DIR, whether it is needed or not
    if (production) return nowhere
    openDirectory(dataDir)
    return { ...nowhere, demoFile: resolve(dataDir, DEMO_FILE) }
  } catch (error) {
    if (!(error instanceof Unusable)) throw error
    throw new ConfigError(
      `DATA_DIR is ${quoted(dataDir)}; it takes a directory that this process can write (${error.why}), or memory.`,
      { cause: error }
    )
  }
}

function openDefault (encryptionKeys: string | undefined, nowhere: DataDirectory): DataDirectory {
  try {
    return open(DEFAULT_DIRECTORY, encryptionKeys)
  } catch (error) {
    if (!(error instanceof Unusable)) throw error
    const note = `The directory ${DEFAULT_DIRECTORY} cannot be written (${error.why}), and DATA_DIR is not set: ` +
      'registrations, logins and sessions are kept in this process alone, and are lost when it ends'
    return { ...nowhere, notes: [note] }
  }
}

/** The directory cannot be used. */
class Unusable extends Error {
  constructor (readonly why: string, cause: unknown) {
    super(why, { cause })
  }
}

/** @throws {Unusable} */
function open (directory: string, configuredKeys: string | undefined): DataDirectory {
  openDirectory(directory)
  const stateFile = resolve(directory, STATE_FILE)
  const files = { stateFile, demoFile: resolve(directory, DEMO_FILE) }
  if (configuredKeys !== undefined) return { ...files, encryptionKeys: configuredKeys, notes: [] }
  const hadState = existsSync(stateFile)
  const keyFile = join(directory, KEY_FILE)
  const { keys, isNew } = usable(() => readOrMakeKeys(keyFile))
  return { ...files, encryptionKeys: keys, notes: isNew && hadState ? [lostKey(keyFile)] : [] }
}

function lostKey (file: string): string {
  return `The key file ${file} was missing, and a new one was made. What the old key had encrypted cannot be read: ` +
    'people log in again when the access to their login server has to be renewed'
}

/** @throws {Unusable} */
function openDirectory (directory: string): void {
  usable(() => {
    if (makeDirectory(directory)) {
      // whatever repository it is in
      writeFileSync(join(directory, '.gitignore'), '*\n')
    }
    accessSync(directory, constants.R_OK | constants.W_OK | constants.X_OK)
  })
}

/** @returns whether it was made; false: it was there */
function makeDirectory (directory: string): boolean {
  try {
    return mkdirSync(directory, { recursive: true, mode: PRIVATE }) !== undefined
  } catch (error) {
    // Node.js says that of a disk that is read-only, too: without `recursive`, the system says what it is
    const isLink = lstatSync(directory, { throwIfNoEntry: false }) !== undefined
    if (toCode(error) === 'ENOENT' && !isLink) mkdirSync(directory, { mode: PRIVATE })
    throw error
  }
}

/** @throws {Unusable} for whatever the file system has against it */
function usable<T> (open: () => T): T {
  try {
    return open()
  } catch (error) {
    throw error instanceof ConfigError ? error : new Unusable(toCode(error), error)
  }
}
