import { isUtf8 } from 'node:buffer'
import { damaged } from './errors.js'

/**
 * A column of text, as a query must name it: libsql ends the process if it is to decode one that is not UTF-8.
 * @param name what the rows call it
 */
export function text (column: string, name = column): string {
  return `CAST(${column} AS BLOB) AS ${name}`
}

/**
 * Decodes the text in a row.
 * @throws {OperatorNeededError} if it is damaged
 */
export function decodeText<Row extends object> (row: Row): Row {
  for (const [name, value] of Object.entries(row)) {
    if (value instanceof ArrayBuffer) Reflect.set(row, name, decode(value))
  }
  return row
}

function decode (bytes: ArrayBuffer): string {
  const buffer = Buffer.from(bytes)
  if (!isUtf8(buffer)) throw damaged('a text is not UTF-8')
  return buffer.toString()
}
