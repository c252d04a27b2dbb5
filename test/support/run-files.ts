import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import t from 'tap'

/*
 * Runs the test files that its arguments name, from test/, one after another in this process.
 * All are loaded before the first test runs, so that none loads in the middle of another's test.
 */
let tests = 0
t.on('subtestAdd', () => { tests++ })
t.before(async () => {
  for (const file of process.argv.slice(2)) {
    const before = tests
    await import(pathToFileURL(resolve(import.meta.dirname, '..', file)).href).catch((cause: unknown) => {
      throw new Error(`${file} cannot be loaded`, { cause })
    })
    if (tests === before) throw new Error(`${file} has no test`)
    // test/suite.ts reads it
    t.comment(`ran ${file}`)
  }
})
