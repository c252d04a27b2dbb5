import { execFile } from 'node:child_process'
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, relative } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import ts from 'typescript'
import * as z from 'zod'
import { objectOf, parseJson, parseObject, valueAt } from '../support/json.js'
import { root } from '../support/root.js'

const run = promisify(execFile)
const manifest = parseJson(readFileSync(join(root, 'package.json'), 'utf8'), z.object({
  dependencies: z.record(z.string(), z.string()),
  exports: z.record(z.string(), z.unknown()),
  bin: z.record(z.string(), z.string()),
  types: z.string(),
  main: z.string()
}))
const tsc = join(root, 'node_modules/typescript/bin/tsc')
const types = (entry: unknown) =>
  typeof entry === 'object' && entry !== null && 'types' in entry ? String(entry.types) : undefined
const file = (entry: unknown) =>
  typeof entry === 'object' && entry !== null && 'default' in entry ? String(entry.default) : String(entry)

/** What is published, in a folder of its own, and the project of somebody who has installed it. */
async function install (folder: string): Promise<{ installed: string, consumer: string }> {
  const [source, consumer] = [join(folder, 'source'), join(folder, 'consumer')]
  mkdirSync(source)
  for (const name of ['package.json', 'README.md', 'LICENSE', 'CHANGELOG.md', 'docs']) {
    cpSync(join(root, name), join(source, name), { recursive: true })
  }
  // as `npm pack` has it built; types have been checked with the tests
  await run(process.execPath, [tsc, '-p', join(root, 'tsconfig.json'), '--noCheck', '--outDir', join(source, 'dist')])
  const { stdout } = await run('npm', ['pack', '--ignore-scripts', '--silent'], { cwd: source })

  const installed = join(consumer, 'node_modules/fastify-mcp-oauth')
  mkdirSync(installed, { recursive: true })
  await run('tar', ['xzf', join(source, stdout.trim()), '-C', installed, '--strip-components', '1'])
  // what npm would install with it, and nothing else that is here
  for (const name of [...Object.keys(manifest.dependencies), '@types/node']) {
    const link = join(consumer, 'node_modules', name)
    mkdirSync(dirname(link), { recursive: true })
    symlinkSync(join(root, 'node_modules', name), link)
  }
  // not that of a folder above, if there is one
  mkdirSync(join(consumer, 'node_modules/oidc-provider'))
  writeFileSync(
    join(consumer, 'node_modules/oidc-provider/package.json'),
    JSON.stringify({ name: 'oidc-provider', exports: {} })
  )
  cpSync(join(root, 'test/package/consumer'), consumer, { recursive: true })
  writeFileSync(join(consumer, 'package.json'), JSON.stringify({ type: 'module' }))
  return { installed, consumer }
}

// away from the checkout, whose node_modules would be found
const folder = mkdtempSync(join(tmpdir(), 'mcp-package-'))
t.teardown(() => { rmSync(folder, { recursive: true }) })
const { installed, consumer } = await install(folder)

/** Compiles the project. @returns what is wrong with it, and with our declarations (those of other libraries would take half a minute) */
function compile (): string {
  const config = ts.getParsedCommandLineOfConfigFile(join(consumer, 'tsconfig.json'), {}, {
    ...ts.sys,
    onUnRecoverableConfigFileDiagnostic: () => {}
  })
  const program = ts.createProgram(config?.fileNames ?? [], config?.options ?? {})
  const ours = program.getSourceFiles().filter(({ fileName }) => fileName.startsWith(realpathSync(consumer)))
  const problems = [
    ...program.getOptionsDiagnostics(),
    ...program.getGlobalDiagnostics(),
    ...ours.flatMap(source => [...program.getSyntacticDiagnostics(source), ...program.getSemanticDiagnostics(source)])
  ]
  program.emit(program.getSourceFile(join(consumer, 'app.ts')))
  if (ours.length < 50) return `Only ${ours.length} of our files are reached.`
  return ts.formatDiagnostics(problems, {
    getCurrentDirectory: () => consumer,
    getCanonicalFileName: name => name,
    getNewLine: () => '\n'
  })
}

t.test('a project that installs it type-checks, and serves a call', async t => {
  t.equal(compile(), '')
  const { stdout } = await run(process.execPath, ['app.js'], { cwd: consumer })
  const [call, me, metadata] = stdout.trim().split('\n').map(line => parseObject(line))
  t.match(call, { result: { content: [{ text: 'HELLO, alice!' }] } })
  t.same(me, { subject: 'alice', sessions: 1 })
  t.match(metadata, { resource: 'http://localhost/ai/mcp' })
})

t.test('it imports nothing but what it depends on', async t => {
  const entries = Object.values(manifest.exports).filter(entry => typeof entry === 'object').flatMap(
    entry => [file(entry), types(entry)]
  )
  const seen = new Set<string>()
  const imported = new Map<string, string>()
  const visit = (path: string): void => {
    if (seen.has(path)) return
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
  for (const entry of [...entries, ...Object.values(manifest.bin), 'dist/server.js', manifest.main, manifest.types]) {
    visit(join(installed, String(entry)))
  }
  t.ok(imported.size > 5, 'the imports are found')
  for (const [name, path] of imported) {
    // imported when it is needed, and missed in one line
    if (name === 'oidc-provider' && path === 'dist/demo/upstream.js') continue
    t.ok(name in manifest.dependencies, `${path} imports ${name}`)
  }
})

t.test('without the demo upstream, the service says what it needs', async t => {
  const failed = await run(process.execPath, [join(installed, 'dist/server.js')], {
    cwd: consumer,
    env: { PATH: process.env.PATH }
  }).then(() => undefined, (error: { stderr: string, code: number }) => error)
  t.match(failed, { code: 1, stderr: /^No upstream is configured: set OAUTH_ISSUER_URL\..*oidc-provider/ })
})

t.test('the tests and the tarball have the same entry points', async t => {
  const paths = valueAt(parseObject(readFileSync(join(root, 'tsconfig.json'), 'utf8')), 'compilerOptions', 'paths')
  t.same(
    Object.keys(objectOf(paths)).map(name => name.replace('fastify-mcp-oauth', '.')),
    Object.keys(manifest.exports).filter(name => name !== './package.json')
  )
})
