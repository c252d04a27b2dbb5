import { mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'

/*
 * Writes what `tap` starts, `.build/run/*.js`: one process for each folder of tests. tap takes them by name, so the folder
 * with the most files has the first: a long one that begins last would leave a core with nothing to do.
 */
// files with a process each: run together they did not end (their Redis servers are killed in the middle of commands)
const ALONE = ['stores']
// one process takes so many files of a folder: what is left after the others have ended runs on one core
const MOST_FILES = 12
const tests = join(import.meta.dirname, '..')
const files = readdirSync(tests, { recursive: true, encoding: 'utf8' }).filter(file => file.endsWith('.test.js')).sort()
const folders = [...new Set(files.map(file => dirname(file)))]
const processes = folders
  .flatMap(folder => {
    const own = files.filter(file => dirname(file) === folder)
    const count = ALONE.includes(folder) ? own.length : Math.ceil(own.length / MOST_FILES)
    // every count-th file: neighbours in the alphabet are alike, and so is what they take
    return Array.from(
      { length: count },
      (_, part) => ({
        name: count === 1 ? folder : `${folder}-${part + 1}`,
        files: own.filter((_, index) => index % count === part)
      })
    )
  })
  .sort((a, b) => b.files.length - a.files.length)

const target = join(tests, '../run')
mkdirSync(target)
for (const [index, { name, files }] of processes.entries()) {
  const entry = `${String(index + 1).padStart(2, '0')}-${name === '.' ? 'test' : name.replaceAll('/', '-')}.js`
  writeFileSync(
    join(target, entry),
    `import { runFiles } from '../test/support/run-files.js'\n\nrunFiles(${JSON.stringify(files, null, 2)})\n`
  )
}
