import { closeSync, fstatSync, openSync, readSync, statSync, type BigIntStats } from 'node:fs'
import { stat } from 'node:fs/promises'
import { oneLine } from '../displayed-text.js'
import { ConfigError } from '../errors.js'
import { parsePolicyFile, type PolicyFile } from '../policy/file/parse.js'

const MAX_BYTES = 1024 * 1024
const MAX_SHOWN = 400

/** What a file is now; another text is another state. */
export type FileState = string

/**
 * Reads a policy file.
 * @param scopes those that there are
 * @throws {ConfigError} in one line, which begins with the file
 */
export function readPolicyFile (path: string, scopes: readonly string[]): PolicyFile {
  return parsePolicyFile(path, readText(path), scopes)
}

/** The state of what a path leads to; symbolic links are followed. Why there is none is a state, too. */
export async function findFileState (path: string): Promise<FileState> {
  return await stat(path, { bigint: true }).then(describeState, toCode)
}

/** The same at once, where the file is read next. */
export function findFileStateNow (path: string): FileState {
  try {
    return describeState(statSync(path, { bigint: true }))
  } catch (error) {
    return toCode(error)
  }
}

function describeState ({ dev, ino, size, mtimeNs, ctimeNs }: BigIntStats): FileState {
  return [dev, ino, size, mtimeNs, ctimeNs].join(':')
}

function readText (path: string): string {
  const bytes = readBytes(path)
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch (error) {
    throw new ConfigError(`${path}: the file is not valid UTF-8`, { cause: error })
  }
}

function readBytes (path: string): Uint8Array {
  let file: number | undefined
  try {
    // before it is opened: a pipe would wait for who writes to it
    if (!statSync(path).isFile()) throw new ConfigError(`${path}: POLICY_FILE must be a regular file`)
    file = openSync(path, 'r')
    if (fstatSync(file).size > MAX_BYTES) throw tooLarge(path)
    const bytes = Buffer.alloc(MAX_BYTES + 1)
    let length = 0
    for (let read = -1; read !== 0 && length < bytes.length; length += read) {
      read = readSync(file, bytes, length, bytes.length - length, null)
    }
    if (length > MAX_BYTES) throw tooLarge(path)
    return bytes.subarray(0, length)
  } catch (error) {
    if (error instanceof ConfigError) throw error
    throw new ConfigError(`${shown(path)}: POLICY_FILE cannot be read (${toCode(error)})`, { cause: error })
  } finally {
    if (file !== undefined) closeSync(file)
  }
}

// what cannot be opened need not be a path
function shown (path: string): string {
  return oneLine(path).slice(0, MAX_SHOWN)
}

function tooLarge (path: string): ConfigError {
  return new ConfigError(`${path}: the file is larger than ${MAX_BYTES} bytes`)
}

function toCode (error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : String(error)
}
