import { parseRecord } from '../../parse-record.js'
import { damaged } from './database/errors.js'
import type { Codec } from './database/expiring-table.js'

/**
 * Reads a record of the file.
 * @throws {OperatorNeededError} if it is damaged
 */
export function readRecord<T> (json: string): T {
  try {
    return parseRecord<T>(json)
  } catch (error) {
    throw damaged('a record is not JSON', error)
  }
}

/** Values that are plain JSON. */
export function jsonOf<V> (): Codec<V> {
  return { write: value => JSON.stringify(value), read: text => readRecord<V>(text) }
}
