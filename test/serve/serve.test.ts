import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { loadModule } from '../../src/process/servers/load-module.js'
import { connectAs } from '../support/connect-as.js'
import { startMcp } from '../support/mcp-harness.js'
import { runCommand, serve } from './serve-process.js'

const SDK = 'const { McpServer } = await import(\'@modelcontextprotocol/server\')'
const makes = (name: string) => `
  const server = new McpServer({ name: ${JSON.stringify(name)}, version: '1.0.0' })
  server.registerTool('greeting', { description: 'Says hello' }, () => ({
    content: [{ type: 'text', text: \`\${process.env.GREETING} from ${name}\` }]
  }))
  return server`
const MODULES = {
  'named.mjs': `${SDK}\nexport function createServer () {${makes('named')}}`,
  'default.mjs': `${SDK}\nexport default () => {${makes('default')}}`,
  'function.cjs': `module.exports = async () => {${SDK}\n${makes('function')}}`,
  'member.cjs': `exports.createServer = async () => {${SDK}\n${makes('member')}}`
}

t.test('a module is served to a client that logs in', async t => {
  const cwd = t.testdir({
    ...MODULES,
    '.env': 'GREETING=hello\nLOG_LEVEL=silent\nSERVER_MODULE=nowhere.js\nPORT=1\n'
  })
  await Promise.all(['named.mjs', 'function.cjs'].map(async file => {
    const service = await serve(t, ['--module', `./${file}`], { cwd })
    const client = await connectAs(t, `${service.url}/mcp`, 'alice')
    t.match(
      await client.callTool({ name: 'greeting' }),
      { content: [{ text: `hello from ${file.replace(/\..*/, '')}` }] },
      `${file}: flags win over .env, and the module has its variables`
    )
    service.kill('SIGTERM')
    t.equal(await service.exited, 0, `${file}: ends with grace`)
  }))
})

t.test('a program is served, by templates of the person and with a variable of .env', async t => {
  const cwd = t.testdir({
    'server.mjs': `${SDK}
      const { StdioServerTransport } = await import('@modelcontextprotocol/server/stdio')
      const server = new McpServer({ name: 'program', version: '1.0.0' })
      server.registerTool('who', {}, () => ({
        content: [{ type: 'text', text: [process.argv[2], process.env.GREETING, process.env.OTHER].join(' ') }]
      }))
      await server.connect(new StdioServerTransport())`,
    '.env': 'GREETING=hello\nOTHER=secret\nLOG_LEVEL=silent\n'
  })
  // eslint-disable-next-line no-template-curly-in-string -- a template of the hosted program
  const command = 'node server.mjs "${claims.email}"'
  const service = await serve(t, ['--stdio', command, '--pass-env', 'GREETING'], { cwd })
  for (const person of ['alice', 'bob']) {
    const client = await connectAs(t, `${service.url}/mcp`, person)
    t.match(await client.callTool({ name: 'who' }), { content: [{ text: `${person}@example.com hello ` }] })
  }
  service.kill('SIGTERM')
  t.equal(await service.exited, 0, 'ends with grace, and its programs with it')
})

t.test('a server elsewhere is served by its URL', async t => {
  const remote = await startMcp(t)
  const cwd = t.testdir({ '.env': 'SERVER_HEADERS={"authorization":"Bearer alice"}\nLOG_LEVEL=silent\n' })
  const service = await serve(t, ['--url', `${remote.url}/mcp`], { cwd })
  const client = await connectAs(t, `${service.url}/mcp`, 'bob')
  t.match(await client.callTool({ name: 'add', arguments: { l: 1, r: 2 } }), { content: [{ text: '3' }] })
})

t.test('modules of all kinds are found', async t => {
  const cwd = t.testdir({
    ...MODULES,
    'none.mjs': 'export const other = 1',
    'empty.cjs': '',
    'class.mjs': 'export default class Server {}',
    'instance.mjs': `${SDK}\nexport default new McpServer({ name: 'x', version: '1.0.0' })`,
    'throws.mjs': 'throw new Error(\'no database\')',
    'syntax.mjs': 'export {'
  })
  for (const file of Object.keys(MODULES)) {
    t.type(await loadModule('SERVER_MODULE', join(cwd, file)), 'function', file)
  }
  const cases: Array<[string, RegExp]> = [
    ['missing.mjs', /^SERVER_MODULE is .*missing\.mjs, but there is no file \/.*missing\.mjs\.$/],
    ['none.mjs', /^SERVER_MODULE is .*none\.mjs, which exports no function createServer \(its exports: other\)/],
    ['empty.cjs', /exports no function/],
    ['class.mjs', /exports no function createServer \(its exports: default\)/],
    ['instance.mjs', /which exports a server: each session needs its own/],
    ['throws.mjs', /which could not be loaded: Error: no database/],
    ['syntax.mjs', /which could not be loaded: SyntaxError/]
  ]
  for (const [file, message] of cases) {
    await t.rejects(loadModule('SERVER_MODULE', join(cwd, file)), { name: 'ConfigError', message }, file)
  }
  const running = runCommand(t, ['serve', '--module', 'none.mjs'], { cwd, env: { LOG_LEVEL: 'silent' } })
  t.equal(await running.exited, 1)
  t.match(running.output.at(-1), /^SERVER_MODULE is none\.mjs, which exports no function/)
})

t.test('every command reads .env', async t => {
  const cwd = t.testdir({ '.env': 'PORT=99999\n' })
  const doctor = runCommand(t, ['doctor', 'http://localhost:1/mcp'], { cwd })
  await doctor.line(/PORT is 99999/)
  const { exited, output } = runCommand(t, ['serve'], { cwd })
  t.equal(await exited, 1)
  t.match(output.join('\n'), /^PORT is 99999; it takes/)
  await writeFile(join(cwd, '.env'), 'ADMIN_TOKEN=the-token-of-this-test\nPUBLIC_URL=http://localhost:1\n')
  const attempts = runCommand(t, ['attempts'], { cwd })
  t.equal(await attempts.exited, 1)
  t.match(attempts.output.join('\n'), 'localhost:1')
})
