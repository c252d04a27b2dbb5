import { createHash } from 'node:crypto'
import { isObject } from './members.js'

/** The same for equal JSON values, in whatever order their members stand. */
export function fingerprint (value: unknown): string {
  return createHash('sha256').update(JSON.stringify(value, sortMembers) ?? '').digest('base64url')
}

function sortMembers (_key: string, value: unknown): unknown {
  if (!isObject(value)) return value
  return Object.fromEntries(Object.entries(value).sort(([a], [b]) => a < b ? -1 : 1))
}
