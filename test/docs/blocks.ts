import { join } from 'node:path'
import { parseEnv } from 'node:util'
import type { Test } from 'tap'
import { parse } from 'yaml'
import * as z from 'zod'
import { loadConfig } from '../../src/config/config.js'
import { readServersFile } from '../../src/config/servers/servers-file.js'
import { isObject } from '../../src/members.js'
import { parsePolicyFile } from '../../src/policy/file/parse.js'
import { commands } from './commands.js'
import { composeExcerpt, known } from './deployment.js'
import { importsAlone } from './imports.js'
import { fences, sources, type Fence } from './pages.js'

const typeChecked = sources('test', 'examples')

const PROMETHEUS = z.object({
  scrape_configs: z.array(z.object({ static_configs: z.array(z.object({ targets: z.array(z.string()) })) }))
})

/** How a block of code is checked, by its language. */
export const blocks: Readonly<Record<string, (t: Test, fence: Fence) => void>> = {
  // test/docs/accounts.ts checks each command
  sh: () => {},
  console: () => {},
  // pictures
  text: () => {},
  // of other packages, which are not installed here: what somebody had before
  typescript: () => {},
  python: () => {},
  // checked in a test that needs nginx
  nginx: () => {},

  ts: (t, { page, line, text }) => {
    const indented = [0, 2, 4, 6].map(spaces => text.replaceAll(/^(?=.)/gm, ' '.repeat(spaces)))
    t.ok(importsAlone(text) || typeChecked.some(file => indented.some(excerpt => file.includes(excerpt))),
      `${page}:${line} is an excerpt of a file that is type-checked (put it into test/embedding/snippets.ts)`)
  },

  // a command on the page loads the file, and runs it
  js: (t, { page, line, text }) => {
    const [, name = ''] = /^\/\/ (\S+\.mjs)\b/.exec(text) ?? []
    t.ok(
      name !== '' && commands().some(({ where, text }) => where.startsWith(page) && text.includes(name)),
      `${page}:${line}: a command loads it`
    )
  },

  // the service starts with all that a page sets
  dotenv: (t, { page, line }) => {
    const settings = parseEnv(
      fences().filter(fence => fence.page === page && fence.language === 'dotenv').map(({ text }) => text).join('')
    )
    known(t, `${page}:${line}`, settings)
    t.doesNotThrow(() => loadConfig({ NODE_ENV: 'production', ...settings }, { dotenv: false }), `${page}:${line}`)
  },

  // a file of several servers
  json: (t, { page, line, text }) => {
    const file = join(t.testdir({ 'servers.json': text }), 'servers.json')
    t.doesNotThrow(() => readServersFile(file, ['mcp'], { WIKI_KEY: 'key' }), `${page}:${line}`)
  },

  // a policy file; for Compose; or for Prometheus: its targets have our port
  yaml: (t, { page, line, text }) => {
    if (page === 'docs/policy.md') {
      t.doesNotThrow(() => parsePolicyFile(page, text), `${page}:${line}`)
      return
    }
    const content: unknown = parse(text)
    if (isObject(content) && 'services' in content) return composeExcerpt(t, `${page}:${line}`, content)
    const { scrape_configs: jobs } = PROMETHEUS.parse(content)
    const { port } = loadConfig({}, { dotenv: false })
    for (const target of jobs.flatMap(job => job.static_configs.flatMap(({ targets }) => targets))) {
      t.match(target, new RegExp(`:${port}$`), `${page}:${line}`)
    }
  }
}
