import { spawn } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, readFileSync, symlinkSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { createInterface } from 'node:readline'
import t from 'tap'
import ts from 'typescript'
import { connectAs } from '../support/connect-as.js'
import { freePort } from '../support/free-port.js'
import { objectOf, parseObject, valueAt } from '../support/json.js'
import { root } from '../support/root.js'
import { compile, hide, installInto, makeFolder, manifest, pack, run } from './project.js'

const SDK1 = '@modelcontextprotocol/sdk'
const types = (entry: unknown) =>
  typeof entry === 'object' && entry !== null && 'types' in entry ? String(entry.types) : undefined
const file = (entry: unknown) =>
  typeof entry === 'object' && entry !== null && 'default' in entry ? String(entry.default) : String(entry)

const consumer = join(makeFolder(t), 'consumer')
const tarball = await pack()
const installed = await installInto(consumer, tarball, { sources: 'consumer', packages: [SDK1] })
// as --omit=optional leaves them: libsql without the build for this machine
for (const name of ['oidc-provider', 'libsql']) hide(consumer, name)

t.test('a project that installs it type-checks, and serves a call', async t => {
  t.equal(compile(consumer), '')
  const { stdout } = await run(process.execPath, ['app.js'], { cwd: consumer })
  const [call, me, metadata] = stdout.trim().split('\n').map(line => parseObject(line))
  t.match(call, { result: { content: [{ text: 'HELLO, alice!' }] } })
  t.same(me, { subject: 'alice', sessions: 1 })
  t.match(metadata, { resource: 'http://localhost/ai/mcp' })
})

/** The packages that a file imports, and what it imports; each with a file that imports it. */
function findImports (entries: readonly string[], except: readonly string[] = []): Map<string, string> {
  const seen = new Set<string>()
  const imported = new Map<string, string>()
  const visit = (path: string): void => {
    if (seen.has(path) || except.includes(relative(installed, path))) return
    seen.add(path)
    t.ok(existsSync(path), relative(installed, path))
    const { importedFiles } = ts.preProcessFile(readFileSync(path, 'utf8'), true, true)
    for (const { fileName } of importedFiles) {
      if (fileName.startsWith('.')) {
        visit(join(dirname(path), path.endsWith('.d.ts') ? fileName.replace(/\.js$/, '.d.ts') : fileName))
      } else if (!fileName.startsWith('node:')) {
        imported.set(/^(@[^/]+\/)?[^/]+/.exec(fileName)?.[0] ?? fileName, relative(installed, path))
      }
    }
  }
  for (const entry of entries) visit(join(installed, entry))
  return imported
}

t.test('it imports nothing but what it depends on', async t => {
  const entries = Object.values(manifest.exports)
    .filter(entry => typeof entry === 'object')
    .flatMap(entry => [file(entry), String(types(entry))])
  const imported = findImports([
    ...entries,
    ...Object.values(manifest.bin),
    'dist/server.js',
    manifest.main,
    manifest.types
  ])
  t.ok(imported.size > 5, 'the imports are found')
  for (const [name, path] of imported) {
    // imported only when it is needed; if it is missing, one line says so
    if (name in manifest.optionalDependencies && path === 'dist/demo/upstream.js') continue
    t.ok(name in manifest.dependencies || name in manifest.peerDependencies, `${path} imports ${name}`)
  }
})

t.test('the plugin, its types and the command do without SDK 1.x', async t => {
  t.strictSame(manifest.peerDependenciesMeta, { [SDK1]: { optional: true } })
  for (const entry of [manifest.main, manifest.types, ...Object.values(manifest.bin)]) {
    // the sample server is loaded only if no other is named
    t.equal(findImports([entry], ['dist/mcp/server.js']).get(SDK1), undefined, entry)
  }
})

t.test('without what --omit=optional leaves out, one line says what to do', async t => {
  const cases: Array<[env: NodeJS.ProcessEnv, line: RegExp]> = [
    [{}, /^The demo login needs the package oidc-provider, .* OAUTH_PROVIDER or OAUTH_ISSUER_URL\.\n$/],
    [{ OAUTH_ISSUER_URL: 'http://localhost:9' }, /^Nothing can be kept in a file: .* Set DATA_DIR=memory, or REDIS_URL\.\n$/]
  ]
  for (const [env, line] of cases) {
    const failed = await run(process.execPath, [join(installed, 'dist/server.js')], {
      cwd: consumer,
      env: { PATH: process.env.PATH, ...env }
    }).then(() => undefined, (error: { stderr: string, code: number }) => error)
    t.match(failed, { code: 1, stderr: line })
  }
})

t.test('the tests and the tarball have the same entry points', async t => {
  const paths = valueAt(parseObject(readFileSync(join(root, 'tsconfig.json'), 'utf8')), 'compilerOptions', 'paths')
  t.same(
    Object.keys(objectOf(paths)).map(name => name.replace('fastify-mcp-oauth', '.')),
    Object.keys(manifest.exports).filter(name => name !== './package.json')
  )
})

t.test('publint has nothing to say', async t => {
  const { stdout } = await run(join(root, 'node_modules/.bin/publint'), [installed, '--strict', '--pack', 'false'])
  t.match(stdout, 'All good!')
})

t.test('its types resolve wherever an ES module is imported', async t => {
  // CommonJS has it by require() of an ES module (copies.test.ts); older ways of resolving know no `exports`
  const attw = join(root, 'node_modules/.bin/attw')
  const options = ['--profile', 'esm-only', '--format', 'ascii', '--no-emoji', '--no-definitely-typed']
  const { stdout } = await run(attw, [tarball, ...options])
  t.match(stdout, /"fastify-mcp-oauth\/testing"\s+node16 \(from ESM\): OK/)
})

t.test('npx hosts a program from npm, and a client logs in and calls a tool', async t => {
  const begun = performance.now()
  const everything = '@modelcontextprotocol/server-everything'
  const project = join(makeFolder(t), 'project')
  await installInto(project, tarball, { sources: 'consumer', packages: [everything] })
  // as npm links them
  const bin = join(project, 'node_modules/.bin')
  mkdirSync(bin)
  chmodSync(join(project, 'node_modules/fastify-mcp-oauth', String(manifest.bin['fastify-mcp-oauth'])), 0o755)
  symlinkSync(join('../fastify-mcp-oauth', String(manifest.bin['fastify-mcp-oauth'])), join(bin, 'fastify-mcp-oauth'))
  symlinkSync(join(root, 'node_modules/.bin/mcp-server-everything'), join(bin, 'mcp-server-everything'))
  const [port, demoPort] = [await freePort(), await freePort()]
  const child = spawn('npx', ['fastify-mcp-oauth', 'serve', '--stdio', 'mcp-server-everything', '--port', `${port}`], {
    cwd: project,
    env: { PATH: process.env.PATH, HOME: project, DEMO_UPSTREAM_PORT: `${demoPort}`, CLIENT_METADATA_DOCUMENTS: 'off' },
    stdio: ['ignore', 'pipe', 'inherit'],
    detached: true
  })
  t.teardown(() => { if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL') })
  for await (const line of createInterface({ input: child.stdout })) if (line.includes('MCP server: ')) break
  const client = await connectAs(t, `http://localhost:${port}/mcp`, 'alice')
  t.match(await client.callTool({ name: 'echo', arguments: { message: 'hello' } }), { content: [{ text: /hello/ }] })
  t.ok(performance.now() - begun < 60_000, `within a minute: ${Math.round(performance.now() - begun)} ms`)
})
