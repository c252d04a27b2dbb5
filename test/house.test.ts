import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import t from 'tap'
import { root } from './support/root.js'

/*
 * The house (docs/architecture.md): a file may import from its own floor or a lower one, and no two files import each
 * other.
 */
const FLOORS: ReadonlyArray<readonly string[]> = [
  // what every floor may import
  [
    'collections',
    'caller.ts',
    'caller-address.ts',
    'derive.ts',
    'displayed-text.ts',
    'errors',
    'errors.ts',
    'fingerprint.ts',
    'json-rpc-codes.ts',
    'listen-error.ts',
    'log.ts',
    'loopback.ts',
    'members.ts',
    'outbound',
    'parse-record.ts',
    'validation',
    'version.ts'
  ],
  ['policy', 'stores'],
  ['mcp', 'oauth'],
  ['audit', 'doctor', 'hosted', 'observability', 'pages', 'testing'],
  ['plugins'],
  ['routes'],
  ['service'],
  ['config', 'demo'],
  ['app.ts'],
  ['cli', 'cli.ts', 'index.ts', 'process', 'server.ts']
]
const MOST_FILES = 17

const src = resolve(root, 'src')
const sources = readdirSync(src, { recursive: true, encoding: 'utf8' })
  .filter(file => file.endsWith('.ts'))
  // the file that is there to be replaced
  .filter(file => file !== 'mcp/server.ts')
// without comments: the examples in docstrings have imports of an app around
const textOf = (file: string) => readFileSync(join(src, file), 'utf8').replaceAll(/^ *\/\*[^]*?\*\/$/gm, '')
const room = (file: string) => file.split('/')[0] ?? file
const floor = (file: string) => FLOORS.findIndex(rooms => rooms.includes(room(file)))
const specifiers = (file: string) =>
  [...textOf(file).matchAll(/(?:from|import\() ?'([^']+)'/g)].map(match => String(match[1]))
const imports = (file: string) =>
  specifiers(file)
    .filter(specifier => specifier.startsWith('.'))
    .map(specifier => join(dirname(file), specifier).replace(/\.js$/, '.ts'))

/** The way from a file back to itself, if its imports lead there. */
function findCircle (file: string, way: readonly string[], seen: Set<string>): readonly string[] | undefined {
  if (way.includes(file)) return [...way.slice(way.indexOf(file)), file]
  if (seen.has(file)) return undefined
  seen.add(file)
  for (const target of imports(file)) {
    const circle = findCircle(target, [...way, file], seen)
    if (circle !== undefined) return circle
  }
  return undefined
}

t.test('every file has a floor', async t => {
  t.ok(sources.length > 200, 'the sources are found')
  for (const file of sources) {
    if (floor(file) === -1) {
      t.fail(
        `src/${
          room(file)
        } has no floor: put src/${file} into a room of the house, or add the room to FLOORS and docs/architecture.md`
      )
    }
  }
})

t.test('imports go down only', async t => {
  for (const file of sources) {
    for (const target of imports(file)) {
      if (floor(target) > floor(file)) {
        t.fail(
          `src/${file} imports src/${target}, which is above it: pass it in as an option, or move what both need to ` +
            `src/${FLOORS[floor(file)]?.join(' or src/')} or below`
        )
      }
      if (floor(target) === floor(file) && room(target) !== room(file) && ['mcp', 'oauth'].includes(room(file))) {
        t.fail(
          `src/${file} imports src/${target}, but mcp and oauth do not know each other: ` +
            'what both need belongs in src/caller.ts or src/stores'
        )
      }
    }
  }
})

t.test('no two files import each other', async t => {
  const seen = new Set<string>()
  for (const file of sources) {
    const circle = findCircle(file, [], seen)
    if (circle !== undefined) t.fail(`${circle.join(' → ')}: move what they share into a file that imports neither`)
  }
})

t.test('a folder has one job', async t => {
  for (const folder of new Set(sources.map(file => dirname(file)))) {
    const count = sources.filter(file => dirname(file) === folder).length
    if (count > MOST_FILES) {
      t.fail(
        `src/${folder} has ${count} files, more than ${MOST_FILES}: it has more than one job, give the second a folder`
      )
    }
  }
})

t.test('the rules and the stores know neither Fastify nor HTML', async t => {
  for (const file of sources.filter(file => floor(file) <= floor('mcp'))) {
    for (const specifier of specifiers(file)) {
      if (/^(fastify$|fastify-plugin|ghtml)/.test(specifier)) {
        t.fail(`src/${file} imports ${specifier}: return data, and let src/routes or src/pages make the response`)
      }
    }
  }
})

t.test('only the configuration, and what is above it, reads the environment', async t => {
  // what a program that is started needs of it to run at all is not a setting
  const isInherited = (file: string) => file === 'hosted/stdio/process/inherited-environment.ts'
  for (const file of sources.filter(file => floor(file) < floor('config') && !isInherited(file))) {
    if (textOf(file).includes('process.env')) {
      t.fail(`src/${file} reads process.env: add a variable to src/config/environment.ts, and take an option`)
    }
  }
})
