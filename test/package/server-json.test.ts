import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { run } from '../../src/cli/server-json.js'
import { toServerJson, type ServerFacts } from '../../src/cli/server-json/documents.js'
import { parseObject } from '../support/json.js'
import { root } from '../support/root.js'

/*
 * What a deployment is published with. The shapes are those of the schemas 2025-12-11 (registry) and v1 (card).
 */
const folder = t.testdir()
mkdirSync(join(folder, 'src'))
const module = join(folder, 'src/server.mjs')
writeFileSync(module, `
import { McpServer } from '${import.meta.resolve('@modelcontextprotocol/server')}'
export const createServer = () => new McpServer({
  name: 'My notes',
  title: 'Notes',
  version: '1.2.3',
  description: 'Keeps notes.',
  websiteUrl: 'https://example.com/notes',
  icons: [{ src: 'https://example.com/icon.png' }, { src: 'data:image/png;base64,AAAA' }]
})
`)

async function print (args: string[], env: NodeJS.ProcessEnv = {}) {
  const printed: string[] = []
  const code = await run(args, { env, write: text => { printed.push(text) } })
  return { code, text: printed.join('') }
}

const env = { PUBLIC_URL: 'https://mcp.example.com', SERVER_MODULE: module }

t.test('server.json says who the server is, and where', async t => {
  const { code, text } = await print([], env)
  t.equal(code, 0)
  t.same(parseObject(text), {
    $schema: 'https://static.modelcontextprotocol.io/schemas/2025-12-11/server.schema.json',
    name: 'com.example.mcp/My-notes',
    title: 'Notes',
    description: 'Keeps notes.',
    version: '1.2.3',
    websiteUrl: 'https://example.com/notes',
    icons: [{ src: 'https://example.com/icon.png' }],
    remotes: [
      { type: 'streamable-http', url: 'https://mcp.example.com/mcp' },
      { type: 'sse', url: 'https://mcp.example.com/sse' }
    ]
  })
})

t.test('the card names the revisions that each endpoint serves', async t => {
  const { text } = await print(['--card'], env)
  const legacy = ['2025-11-25', '2025-06-18', '2025-03-26', '2024-11-05', '2024-10-07']
  const { $schema, remotes } = parseObject(text)
  t.equal($schema, 'https://static.modelcontextprotocol.io/schemas/v1/server-card.schema.json')
  t.same(remotes, [
    {
      type: 'streamable-http',
      url: 'https://mcp.example.com/mcp',
      supportedProtocolVersions: ['2026-07-28', ...legacy]
    },
    { type: 'sse', url: 'https://mcp.example.com/sse', supportedProtocolVersions: legacy }
  ])
})

t.test('options win over the environment', async t => {
  const args = ['--module', module, '--public-url', 'https://example.com/ai', '--name', 'com.example/notes']
  const { text } = await print([...args, '--description', 'Ours.'], { ...env, SESSION_MODE: 'stateless' })
  t.match(parseObject(text), { name: 'com.example/notes', description: 'Ours.' })
  t.same(parseObject(text).remotes, [{ type: 'streamable-http', url: 'https://example.com/ai/mcp' }])
})

t.test('each of several servers has a document of its own', async t => {
  const servers = join(folder, 'servers.json')
  const write = (entries: object) => { writeFileSync(servers, JSON.stringify({ mcpServers: entries })) }
  const both = { ours: { module, path: '/team/ours', title: 'Our notes' }, theirs: { module } }
  write(both)
  const file = { PUBLIC_URL: 'https://mcp.example.com', SERVERS_FILE: servers }
  t.match(parseObject((await print(['--server', 'ours'], file)).text), {
    name: 'com.example.mcp/ours',
    title: 'Our notes',
    version: '1.2.3',
    remotes: [{ url: 'https://mcp.example.com/team/ours/mcp' }, { url: 'https://mcp.example.com/team/ours/sse' }]
  })
  const theirs = await print(['--server', 'theirs', '--servers', servers, '--card'], env)
  t.match(parseObject(theirs.text), {
    name: 'com.example.mcp/theirs',
    title: 'Notes',
    remotes: [{ url: 'https://mcp.example.com/theirs/mcp' }, {}]
  }, 'the option wins over SERVER_MODULE')
  const refused: Array<[args: string[], env: NodeJS.ProcessEnv, message: RegExp]> = [
    [[], file, /^There are several servers, .* --server \(ours, theirs\)\.\n$/],
    [['--server', 'nobody'], file, /^There is no server "nobody", .* --server \(ours, theirs\)\.\n$/],
    [['--server', 'ours'], env, /^--server names one of several servers: /]
  ]
  for (const [args, environment, text] of refused) t.match(await print(args, environment), { code: 2, text })
  t.match(parseObject((await print(['--module', module], file)).text), { name: 'com.example.mcp/My-notes' })
  write({ ours: both.ours })
  t.match(parseObject((await print([], file)).text), { name: 'com.example.mcp/ours' }, 'one needs no name')
})

t.test('what the registry would refuse is refused here, with one line', async t => {
  const facts: ServerFacts = {
    publicUrl: 'https://mcp.example.com',
    path: '',
    sessionMode: 'stateful',
    info: { name: 'notes', version: '1.0.0' }
  }
  const cases: Array<[args: string[], env: NodeJS.ProcessEnv, message: RegExp]> = [
    [[], { SERVER_MODULE: module }, /^PUBLIC_URL is http:\/\/localhost:5050: /],
    [['--name', 'notes'], env, /^--name is "notes"; it takes /],
    [['--name', `a/${'b'.repeat(200)}`], env, /^--name is /],
    [['--description', 'a'.repeat(101)], env, /^The description has 101 characters: /],
    [['--description', ' '], env, /^The server does not describe itself/],
    [['--module', 'missing.mjs'], env, /^SERVER_MODULE is missing\.mjs, but there is no file/]
  ]
  for (const [args, environment, message] of cases) {
    const { code, text } = await print(args, environment)
    t.equal(code, 2, args.join(' '))
    t.match(text, message)
    t.equal(text.trimEnd().split('\n').length, 1)
  }
  t.throws(() => toServerJson(facts), /--description/)
  t.match(await print(['--colour']), { code: 2, text: /^Usage: / })
  t.match(await print(['--help']), { code: 0, text: /^Usage: / })
})

t.test('the sample server can be published, too', async t => {
  const { code, text } = await print(['--description', 'A sample.'], { PUBLIC_URL: 'https://mcp.example.com' })
  t.equal(code, 0, root)
  t.match(parseObject(text), { name: 'com.example.mcp/fastify-mcp-oauth', version: '0.1.0' })
})
