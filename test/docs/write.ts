import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { root } from '../support/root.js'
import { generated } from './generated.js'

/* Writes the pages that are made from the code: `npm run docs`. */
for (const [file, text] of generated()) writeFileSync(join(root, file), text)
