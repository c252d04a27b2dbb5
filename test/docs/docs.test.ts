import { existsSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import t from 'tap'
import { root } from '../support/root.js'
import { blocks } from './blocks.js'
import { nginxTakes } from './deployment.js'
import { generated } from './generated.js'
import { notShown } from './imports.js'
import { strangeNames } from './names.js'
import { fences, pages, read } from './pages.js'
import { missing } from './running.js'

t.test('generated files are up to date', async t => {
  for (const [file, text] of generated()) t.equal(read(file), text, `${file} (run npm run docs)`)
})

t.test('every link between the pages has a target', async t => {
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

t.test('every file that a page names exists', async t => {
  for (const page of pages.filter(page => page !== 'CHANGELOG.md')) {
    for (const [, path = ''] of read(page).matchAll(/`((?:src|test|docs|bench|examples|deploy)\/[\w./-]+)`/g)) {
      t.ok(existsSync(resolve(root, path)), `${page} names ${path}`)
    }
  }
})

t.test('every block of code is checked', async t => {
  for (const fence of fences()) {
    const check = blocks[fence.language]
    if (check === undefined) {
      t.fail(
        `${fence.page}:${fence.line}: nothing checks the language "${fence.language}". Add it to test/docs/blocks.ts`
      )
    } else check(t, fence)
  }
})

t.test('a page that shows code shows what to install and to import', async t => {
  t.same(notShown(), [])
})

t.test('nginx accepts its configuration', { skip: missing('nginx') }, async t => {
  await nginxTakes(t)
  for (const { language, text } of fences()) if (language === 'nginx') await nginxTakes(t, text)
})

t.test('names in code exist', async t => {
  t.same(
    strangeNames(),
    [],
    'each is a variable of src/config/environment.ts, an option or a word of src/, or foreign in test/docs/names.ts'
  )
})

/** The anchors that Markdown makes from headings. */
function anchorsOf (text: string): string[] {
  return [...text.matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) =>
    heading.toLowerCase().replace(/[^\w\- ]/g, '').replaceAll(' ', '-')
  )
}
