import { existsSync, readFileSync } from 'node:fs'
import { parseRecord } from './parse-record.js'

const manifest = new URL('../package.json', import.meta.url)

/** The version of this package; `unknown` in a bundle, which has left its package.json behind. */
export function packageVersion (): string {
  const { version }: { version?: unknown } = existsSync(manifest) ? parseRecord(readFileSync(manifest, 'utf8')) : {}
  return typeof version === 'string' ? version : 'unknown'
}
