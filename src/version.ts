import { existsSync, readFileSync } from 'node:fs'

/** The version of this package. */
export function packageVersion (): string {
  // beside the sources, beside what is built of them, and beside the tests
  const place = ['../package.json', '../../package.json'].map(path => new URL(path, import.meta.url)).find(place => existsSync(place))
  const { version }: { version?: unknown } = place === undefined ? {} : JSON.parse(readFileSync(place, 'utf8'))
  return typeof version === 'string' ? version : 'unknown'
}
