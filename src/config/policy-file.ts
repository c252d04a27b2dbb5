import { statSync, type BigIntStats } from 'node:fs'
import { stat } from 'node:fs/promises'
import { parsePolicyFile, type PolicyFile } from '../policy/file/parse.js'
import { readTextFile, toCode } from './text-file.js'

/** What a file is now; another text is another state. */
export type FileState = string

/**
 * Reads a policy file.
 * @param scopes those that there are
 * @throws {ConfigError} in one line, which begins with the file
 */
export function readPolicyFile (path: string, scopes: readonly string[]): PolicyFile {
  return parsePolicyFile(path, readTextFile('POLICY_FILE', path), scopes)
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
