import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import t from 'tap'
import { root } from '../root.js'
import { generated } from './generated.js'

const read = (file: string) => readFileSync(join(root, file), 'utf8')
const inFolder = (folder: string) => readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' }).map(file => join(folder, file))
const pages = [...readdirSync(root), ...['docs', 'examples', 'deploy'].flatMap(inFolder)].filter(file => file.endsWith('.md'))

t.test('what is made from the code is as the code is', async t => {
  for (const [file, text] of generated()) t.equal(read(file), text, `${file} (npm run docs makes it anew)`)
})

t.test('every link between the pages leads somewhere', async t => {
  t.ok(pages.length > 15, 'the pages are found')
  for (const page of pages) {
    for (const [, link = ''] of read(page).matchAll(/\]\((?!https?:)([^)]+)\)/g)) {
      const [path = '', anchor] = link.split('#')
      const target = path === '' ? page : join(dirname(page), path)
      t.ok(existsSync(join(root, target)), `${page} links to ${link}`)
      if (anchor !== undefined) t.ok(anchorsOf(read(target)).includes(anchor), `${page} links to ${link}`)
    }
  }
})

t.test('every file that a page names is there', async t => {
  for (const page of pages.filter(page => page !== 'CHANGELOG.md')) {
    for (const [, path = ''] of read(page).matchAll(/`((?:src|test|docs|bench|examples|deploy)\/[\w./-]+)`/g)) {
      t.ok(existsSync(resolve(root, path)), `${page} names ${path}`)
    }
  }
})

t.test('the tutorial shows the example that is run', async t => {
  t.ok(read('docs/your-server.md').includes(`\`\`\`ts\n${read('examples/sdk1-server/server.ts')}\`\`\``))
})

/** The anchors that a reader of Markdown makes of headings. */
function anchorsOf (text: string): string[] {
  return [...text.matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) => heading.toLowerCase().replace(/[^\w\- ]/g, '').replaceAll(' ', '-'))
}
