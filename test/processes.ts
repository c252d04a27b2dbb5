import { mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'

/*
 * Writes what `tap` starts, `.build/run/*.js`: one process for each folder of tests. tap takes them by name, so the folder
 * with the most files has the first: a long one that begins last would leave a core with nothing to do.
 */
const files = readdirSync(import.meta.dirname, { recursive: true, encoding: 'utf8' }).filter(file => file.endsWith('.test.js')).sort()
const folders = [...new Set(files.map(file => dirname(file)))]
  .map(folder => ({ folder, files: files.filter(file => dirname(file) === folder) }))
  .sort((a, b) => b.files.length - a.files.length)

const target = join(import.meta.dirname, '../run')
mkdirSync(target)
for (const [index, { folder, files }] of folders.entries()) {
  const name = `${String(index + 1).padStart(2, '0')}-${folder === '.' ? 'test' : folder.replaceAll('/', '-')}.js`
  writeFileSync(join(target, name), `import { runFiles } from '../test/run-files.js'\n\nrunFiles(${JSON.stringify(files, null, 2)})\n`)
}
