import { closeSync, fstatSync, openSync, readSync, statSync } from 'node:fs'
import { oneLine } from '../displayed-text.js'
import { ConfigError } from '../errors.js'

const MAX_BYTES = 1024 * 1024
const MAX_SHOWN = 400

/**
 * Reads a text file, of a bounded size.
 * @param setting that names it, for errors
 * @throws {ConfigError} in one line, which begins with the file
 */
export function readTextFile (setting: string, path: string): string {
  const bytes = readBytes(setting, path)
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch (error) {
    throw new ConfigError(`${path}: the file is not valid UTF-8`, { cause: error })
  }
}

function readBytes (setting: string, path: string): Uint8Array {
  let file: number | undefined
  try {
    // before it is opened: a pipe would wait for who writes to it
    if (!statSync(path).isFile()) throw new ConfigError(`${path}: ${setting} must be a regular file`)
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
    throw new ConfigError(`${shown(path)}: ${setting} cannot be read (${toCode(error)})`, { cause: error })
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

/** What the operating system has against something, such as `EACCES`. */
export function toCode (error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  return 'code' in error ? String(error.code) : error.message
}
