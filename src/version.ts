import { existsSync, readFileSync } from 'node:fs'
import { parseRecord } from './parse-record.js'

/** The version of this package. */
export function packageVersion (): string {
  // beside the sources and what is built of them; one folder up from what is compiled for tests
  for (const place of ['../package.json', '../../package.json'].map(path => new URL(path, import.meta.url))) {
    const { version }: { version?: unknown } = existsSync(place) ? parseRecord(readFileSync(place, 'utf8')) : {}
    if (typeof version === 'string') return version
  }
  return 'unknown'
}
