import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseObject } from './json.js'
import { root } from './root.js'

/** The version of an npm package that the tests run with. */
export function installedVersion (name: string): string {
  return String(parseObject(readFileSync(join(root, 'node_modules', name, 'package.json'), 'utf8')).version)
}
