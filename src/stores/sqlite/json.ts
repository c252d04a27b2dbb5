import { parseRecord } from '../../parse-record.js'
import type { Codec } from './database/expiring-table.js'

/** Values that are plain JSON. */
export function jsonOf<V> (): Codec<V> {
  return { write: value => JSON.stringify(value), read: text => parseRecord<V>(text) }
}
