import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import t from 'tap'

/**
 * Runs test files in this process, one after another: to start a process costs more than most files take.
 * All are loaded before the first test runs, so that none loads in the middle of another's test.
 * @param files paths from the folder of the tests
 */
export function runFiles (files: string[]): void {
  let tests = 0
  t.on('subtestAdd', () => { tests++ })
  t.before(async () => {
    for (const file of files) {
      const before = tests
      t.comment(file)
      await import(pathToFileURL(join(import.meta.dirname, '..', file)).href).catch((cause: unknown) => {
        throw new Error(`${file} cannot be loaded`, { cause })
      })
      if (tests === before) throw new Error(`${file} has no test`)
    }
  })
}
