import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import t from 'tap'
import { groups } from './groups.js'
import { root } from './root.js'

/*
 * Runs the group of test files that its argument names, one file after another in this process.
 * All are loaded before the first test runs, so that none loads in the middle of another's test.
 */
// a test that waits for ever is named before its process is ended
const TEST_TIMEOUT_MS = 180_000
const name = process.argv[2]
const group = groups.find(group => group.name === name)
let tests = 0
t.on('subtestAdd', test => {
  tests++
  test.options.timeout ??= TEST_TIMEOUT_MS
})
t.before(async () => {
  if (group === undefined) throw new Error(`${name} is not one of: ${groups.map(({ name }) => name).join(' ')}`)
  for (const file of group.files) {
    const before = tests
    await import(pathToFileURL(join(root, 'test', file)).href).catch((cause: unknown) => {
      throw new Error(`${file} cannot be loaded`, { cause })
    })
    if (tests === before) throw new Error(`${file} has no test`)
    // test/suite.ts reads it
    t.comment(`ran ${file}`)
  }
})
