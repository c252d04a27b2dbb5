import { execFile, spawn } from 'node:child_process'
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  symlinkSync,
  writeFileSync
} from 'node:fs'
import { join } from 'node:path'
import { parseEnv } from 'node:util'
import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import t, { type Test } from 'tap'
import * as z from 'zod'
import { loadConfig } from '../../src/config/config.js'
import { EnvironmentSchema } from '../../src/config/environment.js'
import { startProcess } from '../e2e/service-process.js'
import { emitted } from '../support/emitted.js'
import { freePort } from '../support/free-port.js'
import { parseJson } from '../support/json.js'
import { Person } from '../support/person.js'
import { root } from '../support/root.js'
import { hide, link, makeFolder, pack, run, unpack } from './project.js'

/*
 * `fastify-mcp-oauth init`, from the packed tarball: what it makes is whole, tested and can be started.
 */
const MANIFEST = z.object({
  name: z.string(),
  dependencies: z.record(z.string(), z.string()),
  devDependencies: z.record(z.string(), z.string())
})
const VERSIONED = z.object({ version: z.string(), dependencies: z.record(z.string(), z.string()) })

const folder = makeFolder(t)
const tarball = await pack()
const installed = await unpack(tarball, join(folder, 'tool'))
const cli = join(installed, 'dist/cli.js')

/** Runs the command in the folder. */
async function init (args: readonly string[], input = '') {
  const child = execFile(process.execPath, [cli, 'init', ...args], { cwd: folder })
  const printed: string[] = []
  child.stdout?.on('data', chunk => printed.push(String(chunk)))
  child.stderr?.on('data', chunk => printed.push(String(chunk)))
  const closed = emitted(child, 'close')
  child.stdin?.end(input)
  const [code] = await closed
  return { code, output: printed.join('') }
}

/** Every file of a project. */
function filesOf (project: string): Record<string, string> {
  const files = readdirSync(project, { recursive: true, withFileTypes: true }).filter(entry => entry.isFile())
    .map(({ parentPath, name }) => join(parentPath, name))
  return Object.fromEntries(files.map(file => [file.slice(project.length + 1), readFileSync(file, 'utf8')]))
}

/** What npm would install: the packages that the project names, in the versions of this checkout. */
async function install (project: string): Promise<void> {
  const { dependencies, devDependencies } = parseJson(readFileSync(join(project, 'package.json'), 'utf8'), MANIFEST)
  await unpack(tarball, project)
  const modules = join(project, 'node_modules')
  for (const name of Object.keys({ ...dependencies, ...devDependencies })) {
    if (name !== 'fastify-mcp-oauth') link(name, modules)
  }
  mkdirSync(join(modules, '.bin'))
  // as npm does
  chmodSync(join(modules, 'fastify-mcp-oauth/dist/cli.js'), 0o755)
  symlinkSync('../fastify-mcp-oauth/dist/cli.js', join(modules, '.bin/fastify-mcp-oauth'))
  for (const [bin, file] of [['tsc', 'typescript/bin/tsc'], ['tsx', 'tsx/dist/cli.mjs']] as const) {
    symlinkSync(`../${file}`, join(modules, '.bin', bin))
  }
}

/** The project, as its README says to start it, for somebody who logs in at the demo login. */
async function use (t: Test, project: string): Promise<void> {
  const [port, demoPort] = [await freePort(), await freePort()]
  const service = await startProcess(`http://localhost:${port}`, ['npm', 'start'], {
    PORT: String(port),
    DEMO_UPSTREAM_PORT: String(demoPort)
  }, project)
  const person = new Person('alice')
  const transport = () => new StreamableHTTPClientTransport(new URL(`${service.url}/mcp`), { authProvider: person })
  const first = transport()
  await t.rejects(new Client({ name: 'first', version: '1' }).connect(first), /Unauthorized/)
  await first.finishAuth((await person.logIn()).get('code') ?? '')
  const client = new Client({ name: 'first', version: '1' })
  await client.connect(transport())
  t.match(await client.callTool({ name: 'who_am_i', arguments: {} }), { content: [{ text: /alice@example\.com/ }] })
  await client.close()
  await service.stop()
}

for (const sdk of ['2', '1']) {
  t.test(`a project of SDK ${sdk} passes its tests, and serves`, async t => {
    const name = `Notes of SDK ${sdk}`
    const { code, output } = await init([name, '--sdk', sdk, '--yes'])
    t.equal(code, 0, output)
    t.match(output, `cd 'Notes of SDK ${sdk}'`)
    const project = join(folder, name)
    t.equal(parseJson(readFileSync(join(project, 'package.json'), 'utf8'), MANIFEST).name, `notes-of-sdk-${sdk}`)
    await install(project)
    const { stdout } = await run('npm', ['test'], { cwd: project })
    t.match(stdout, /pass 2\n.*fail 0/s)
    // only its tests need it; the image does not have it
    if (sdk === '2') hide(project, '@modelcontextprotocol/sdk')
    await use(t, project)
  })
}

t.test('answered with Enter, it makes what --yes makes', async t => {
  t.match(await init(['yes', '--yes']), { code: 0 })
  const entered = await init([], '\n\n\n')
  t.match(entered, { code: 0, output: /cd my-mcp\n {2}npm install\n {2}npm test\n {2}npm start/ })
  const files = filesOf(join(folder, 'my-mcp'))
  t.same(
    Object.keys(files).sort(),
    [
      '.dockerignore',
      '.env.example',
      '.gitignore',
      'Dockerfile',
      'README.md',
      'package.json',
      'src/server.ts',
      'test/server.test.ts',
      'tsconfig.build.json',
      'tsconfig.json'
    ]
  )
  const made = filesOf(join(folder, 'yes'))
  for (const [file, text] of Object.entries(files)) t.equal(text.replaceAll('my-mcp', 'yes'), made[file], file)
})

t.test('it asks again until an answer is one of those that it names', async t => {
  t.match(await init(['asked'], '3\n1\nnowhere\ngithub\n'), { code: 0 })
  const files = filesOf(join(folder, 'asked'))
  t.match(files['src/server.ts'], /@modelcontextprotocol\/sdk/)
  t.match(files['.env.example'], /^OAUTH_PROVIDER=github$/m)
})

t.test('the settings of each login server are those that the service asks for', async t => {
  const { code } = await init(['any', '--yes'])
  t.equal(code, 0)
  const { LOGINS } = await import('../../src/cli/init/choices.js')
  const { envExample } = await import('../../src/cli/init/env-example.js')
  const instances: Record<string, string> = { entra: 'common', auth0: 'acme.eu.auth0.com', okta: 'acme.okta.com' }
  for (const login of LOGINS) {
    const text = envExample({ folder, name: 'any', sdk: '2', login, source: '' })
    const settings = parseEnv(text)
    for (const name of Object.keys(settings)) t.ok(name in EnvironmentSchema.properties, `${login}: ${name}`)
    const commented = [...text.matchAll(/^# ([A-Z_]+)=/gm)].map(([, name = '']) => name)
    for (const name of commented) t.ok(name in EnvironmentSchema.properties, `${login}: ${name}`)
    const filled = Object.fromEntries(Object.entries(settings).map(([name, value]) => [
      name,
      value !== '' && value !== undefined
        ? value
        : name === 'OAUTH_ISSUER_URL' ? instances[login] ?? 'https://login.example.com' : 'filled-in'
    ]))
    const tenants = login === 'entra' ? { OAUTH_ALLOWED_TENANTS: '*' } : {}
    t.doesNotThrow(() => loadConfig({ ...filled, ...tenants }, { dotenv: false }), login)
  }
})

t.test('npm create fastify-mcp-oauth does the same', async t => {
  const creator = join(folder, 'tool/node_modules/create-fastify-mcp-oauth')
  cpSync(join(root, 'create'), creator, { recursive: true })
  await run(process.execPath, [join(creator, 'index.js'), 'created', '--yes'], { cwd: folder })
  t.same(Object.keys(filesOf(join(folder, 'created'))), Object.keys(filesOf(join(folder, 'my-mcp'))))
  const created = parseJson(readFileSync(join(creator, 'package.json'), 'utf8'), VERSIONED)
  const { version } = parseJson(readFileSync(join(root, 'package.json'), 'utf8'), VERSIONED)
  t.match(created, { version, dependencies: { 'fastify-mcp-oauth': `^${version}` } }, 'both have one version')
})

t.test('a folder that is not empty is refused, and left as it is', async t => {
  const full = join(folder, 'full')
  mkdirSync(full)
  writeFileSync(join(full, 'mine.txt'), 'mine')
  t.match(await init(['full', '--yes']), { code: 2, output: /full is not empty \(it has mine\.txt\)/ })
  t.same(filesOf(full), { 'mine.txt': 'mine' })
  t.match(await init(['full/mine.txt', '--yes']), { code: 2, output: /is a file/ })
  t.match(await init(['full/mine.txt/below', '--yes']), { code: 1, output: /nothing is left of it/ })
  t.same(filesOf(full), { 'mine.txt': 'mine' })

  mkdirSync(join(folder, 'cloned/.git'), { recursive: true })
  t.match(await init(['cloned', '--yes']), { code: 0 }, 'a new repository counts as empty')
})

t.test('what ends the questions leaves nothing', async t => {
  t.match(await init(['left'], '\n'), { code: 130, output: /Nothing was made/ }, 'the input ends')
  t.notOk(existsSync(join(folder, 'left')))

  const child = spawn(process.execPath, [cli, 'init', 'interrupted'], { cwd: folder, stdio: 'pipe' })
  t.teardown(() => { child.kill('SIGKILL') })
  const closed = emitted(child, 'close')
  await emitted(child.stdout, 'data')
  child.kill('SIGINT')
  t.same(await closed, [130, null], 'Ctrl-C')
  t.notOk(existsSync(join(folder, 'interrupted')))
})

t.test('arguments that it does not know are explained', async t => {
  for (const args of [['--sdk', '3'], ['--provider', 'nobody'], ['a', 'b'], ['--colour']]) {
    t.match(await init([...args, '--yes']), { code: 2, output: /^Usage: / }, args.join(' '))
  }
  t.match(await init(['--help']), { code: 0, output: /^Usage: / })
})

t.test('a tarball is named as it is found from the project', async t => {
  t.match(await init(['packed', '--package', tarball, '--yes']), { code: 0 })
  const { dependencies } = parseJson(readFileSync(join(folder, 'packed/package.json'), 'utf8'), MANIFEST)
  t.equal(dependencies['fastify-mcp-oauth'], `file:${tarball}`)
})
