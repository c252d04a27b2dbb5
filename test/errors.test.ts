import { readdirSync, readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import t from 'tap'
import { root } from './support/root.js'

const read = (file: string) => readFileSync(resolve(root, file), 'utf8')

t.test('docs/errors.md lists every error class with its code, and no other', async t => {
  const source = readdirSync(resolve(root, 'src/errors')).map(file => read(`src/errors/${file}`)).join('\n')
  const classes = [...source.matchAll(/^export class (\w+Error) .*$/gm)].map(match => match[1])
  t.ok(classes.length > 15, 'the classes are found')
  const rows = [...read('docs/errors.md').matchAll(/^\| `(\w+Error)` \| `?([\w-]+)`? \|/gm)]
  t.same(rows.map(row => row[1]).sort(), classes.sort())
  for (const [, name, code] of rows) {
    const body = new RegExp(`export class ${name} [^}]*?(?:code|jsonRpcCode)(?: = |: number = )'?(${code})'?`, 's')
    t.match(source, body, `${name} has the code ${code}`)
  }
})
