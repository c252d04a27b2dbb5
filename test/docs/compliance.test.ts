import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { root } from '../support/root.js'
import { read } from './pages.js'

/** The rows of the compliance tables, as cells. */
function rows (): string[][] {
  const [, section = ''] = /^## Compliance\n(.*?)(?=^## |(?![\s\S]))/ms.exec(read('SECURITY.md')) ?? []
  return section.split('\n').filter(line => /^\| (?!---)/.test(line)).map(line => line.slice(2, -2).split(' | '))
    .filter(cells =>
      /^(MUST|SHOULD|RECOMMENDED|guidance)/.test(cells[0] ?? '') ||
      /^(MUST|SHOULD|RECOMMENDED|guidance)/.test(cells[1] ?? '')
    )
}

/** The titles of a file's tests. */
function titles (file: string): string {
  return [...readFileSync(join(root, file), 'utf8').matchAll(/est\(\s*(?:t,\s*)?(.*)/g)]
    .map(([, title = '']) => title.replaceAll('\\\'', '\'')).join('\n')
}

// a requirement without a test says why
const REASON = /^(Not met|Not applicable|In part|Yours|The client's|The authorization server's|See \[)/

t.test('each requirement names a test that exists, or the reason why there is none', async t => {
  const all = rows()
  t.ok(all.length > 100, `${all.length} requirements`)
  for (const cells of all) {
    const shown = cells.at(-1) ?? ''
    const named = [...shown.matchAll(/`(test\/[\w./-]+\.test\.ts)`: "([^"]+)"/g)]
    for (const [, file = '', name = ''] of named) {
      t.ok(existsSync(join(root, file)) && titles(file).includes(name), `${file}: ${name}`)
    }
    for (const [, file = ''] of shown.matchAll(/`((?:test|deploy|docs)\/[\w./-]+)`/g)) {
      t.ok(existsSync(join(root, file)), file)
    }
    t.ok(named.length > 0 || REASON.test(shown) || shown.includes('`test/docs/deployment.ts`'), cells.join(' | '))
  }
})
