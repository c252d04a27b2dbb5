import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { root } from '../root.js'
import { generated } from './generated.js'

t.test('what is made from the code is as the code is', async t => {
  for (const [file, text] of generated()) {
    t.equal(readFileSync(join(root, file), 'utf8'), text, `${file} (npm run docs makes it anew)`)
  }
})
