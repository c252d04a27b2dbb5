import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import t from 'tap'
import { root } from './support/root.js'

// Imports point one way (docs/architecture.md): a file may import from its own floor or a lower one.
const src = resolve(root, 'src')
const floors: Record<string, number> = {
  'server.ts': 6,
  'run-process.ts': 6,
  'cli.ts': 6,
  'index.ts': 6,
  cli: 6,
  doctor: 3,
  'page.ts': 0,
  'visible.ts': 0,
  'client-setup.ts': 0,
  'redirect-schemes.ts': 0,
  'public-url.ts': 0,
  'caller-address.ts': 0,
  demo: 1,
  'metrics.ts': 3,
  'openapi.ts': 0,
  'version.ts': 0,
  routes: 4,
  plugins: 3,
  oauth: 2,
  mcp: 2,
  stores: 1,
  'errors.ts': 0,
  'auth-info.ts': 0,
  // its defaults are those of the rules
  'config.ts': 3,
  'config-limits.ts': 3,
  'environment.ts': 3,
  'config-values.ts': 1,
  'loopback.ts': 0,
  'listen-error.ts': 0,
  'derive.ts': 0,
  'parse-record.ts': 0,
  validation: 0
}
const composition = 5 // app.ts and the composite plugins beside it

const sources = readdirSync(src, { recursive: true, encoding: 'utf8' }).filter(file => file.endsWith('.ts'))
const top = (file: string) => file.split('/')[0] ?? file
const floor = (file: string) => floors[top(file)] ?? composition
const importsOf = (file: string) => [...readFileSync(join(src, file), 'utf8').matchAll(/(?:from|import\() ?'([^']+)'/g)].map(match => String(match[1]))
const local = (file: string, specifier: string) => relative(src, resolve(src, dirname(file), specifier)).replace(/\.js$/, '.ts')

t.test('imports point one way', async t => {
  t.ok(sources.length > 10, 'the sources are found')
  for (const file of sources) {
    for (const specifier of importsOf(file).filter(specifier => specifier.startsWith('.'))) {
      const target = local(file, specifier)
      if (floor(target) > floor(file)) t.fail(`src/${file} imports src/${target}, which is above it`)
      const pair = [top(file), top(target)].sort().join('+')
      if (pair === 'mcp+oauth') t.fail(`src/${file} imports src/${target}: oauth and mcp do not know each other`)
      if (top(target) === 'config.ts' && !['app.ts', 'run-process.ts', 'service-options.ts', 'cli/doctor.ts'].includes(file)) t.fail(`src/${file} imports the configuration; it takes options`)
    }
  }
})

t.test('rules and stores never import Fastify', async t => {
  for (const file of sources.filter(file => ['oauth', 'mcp', 'stores'].includes(top(file)))) {
    for (const specifier of importsOf(file)) {
      if (/^(@fastify\/|fastify)/.test(specifier)) t.fail(`src/${file} imports ${specifier}`)
    }
  }
})

t.test('only the configuration, and the command line, read the environment', async t => {
  for (const file of sources.filter(file => !['config.ts', 'cli.ts'].includes(file))) {
    if (readFileSync(join(src, file), 'utf8').includes('process.env')) t.fail(`src/${file} reads process.env`)
  }
})
