import { mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'

/*
 * Writes what `tap` starts, `.build/run/*.js`: one process for each folder of tests. tap takes them by name, so the folder
 * with the most files has the first: a long one that begins last would leave a core with nothing to do.
 */
// files with a process each: run together they did not end (their Redis servers are killed in the middle of commands)
const ALONE = ['stores']
const files = readdirSync(import.meta.dirname, { recursive: true, encoding: 'utf8' }).filter(file => file.endsWith('.test.js')).sort()
const processOf = (file: string) => ALONE.includes(dirname(file)) ? file.replace('.test.js', '') : dirname(file)
const processes = [...new Set(files.map(processOf))]
  .map(name => ({ name, files: files.filter(file => processOf(file) === name) }))
  .sort((a, b) => b.files.length - a.files.length)

const target = join(import.meta.dirname, '../run')
mkdirSync(target)
for (const [index, { name, files }] of processes.entries()) {
  const entry = `${String(index + 1).padStart(2, '0')}-${name === '.' ? 'test' : name.replaceAll('/', '-')}.js`
  writeFileSync(join(target, entry), `import { runFiles } from '../test/run-files.js'\n\nrunFiles(${JSON.stringify(files, null, 2)})\n`)
}
