import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import t, { type Test } from 'tap'
import { emitted } from '../support/emitted.js'
import { Person } from '../support/person.js'
import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { SSEClientTransport } from '@modelcontextprotocol/sdk/client/sse.js'
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import { root, runnable } from '../support/root.js'
import { freePort } from '../support/free-port.js'
import { QUIET } from '../support/service.js'

/** Runs the service as a process of its own; `line` resolves with the first line of its output that matches. */
function run (t: Test, environment: NodeJS.ProcessEnv) {
  const child = spawn(process.execPath, runnable('src/server'), {
    cwd: root, env: { PATH: process.env.PATH, DATA_DIR: 'memory', ...environment }, stdio: ['ignore', 'pipe', 'pipe']
  })
  t.teardown(() => child.kill('SIGKILL'))
  const output: string[] = []
  const waiting = new Set<(line: string) => void>()
  for (const stream of [child.stdout, child.stderr]) {
    createInterface({ input: stream }).on('line', line => {
      output.push(line)
      for (const listener of waiting) listener(line)
    })
  }
  const exited = emitted(child, 'exit')
  return {
    child,
    exited,
    output,
    line: async (pattern: RegExp) => {
      const seen = output.find(line => pattern.test(line))
      if (seen !== undefined) return seen
      const found = new Promise<string>(resolve => waiting.add(line => { if (pattern.test(line)) resolve(line) }))
      return await Promise.race([found, exited.then(() => { throw new Error(`ended: ${output.join('\n')}`) })])
    }
  }
}

/** The tools of the server that is shipped; another one may stand in its place. */
async function checkTools (t: Test, url: string, person: Person): Promise<void> {
  const client = new Client({ name: 'e2e', version: '1' })
  await client.connect(new StreamableHTTPClientTransport(new URL(`${url}/mcp`), {
    requestInit: { headers: { authorization: `Bearer ${person.accessToken}` } }
  }))
  const { tools } = await client.listTools()
  const replaced = client.getServerVersion()?.name !== 'fastify-mcp-oauth'
  await t.test('the shipped server', { skip: replaced && 'src/mcp/server.ts was replaced' }, async t => {
    t.ok(tools.length > 0)
    for (const { name, title, annotations } of tools) {
      t.ok(title, `${name} has a title`)
      t.match(annotations, {
        readOnlyHint: Boolean,
        destructiveHint: Boolean,
        idempotentHint: Boolean,
        openWorldHint: Boolean
      }, name)
    }
  })
  await client.close()
}

t.test('it starts without configuration, says how to connect, and Ctrl-C ends it with a stream open', async t => {
  const port = await freePort()
  const url = `http://localhost:${port}`
  const { MAX_EVENT_LOOP_DELAY_MS } = QUIET
  const service = run(t, { PORT: String(port), DEMO_UPSTREAM_PORT: String(await freePort()), MAX_EVENT_LOOP_DELAY_MS })
  await service.line(/MCP server: /)
  await service.line(/any name, any password/)
  for (const client of ['Claude Code', 'Cursor', 'VS Code', 'MCP Inspector']) await service.line(new RegExp(client))

  const person = new Person('alice')
  const first = new SSEClientTransport(new URL(`${url}/sse`), { authProvider: person })
  await t.rejects(new Client({ name: 'e2e', version: '1' }).connect(first))
  await first.finishAuth((await person.logIn()).get('code') ?? '')
  const stream = await fetch(`${url}/sse`, {
    headers: { authorization: `Bearer ${person.accessToken}`, accept: 'text/event-stream' }
  })
  t.equal(stream.status, 200)
  await t.test('its tools have a title and say what they do', async t => { await checkTools(t, url, person) })
  const reader = stream.body?.getReader()
  await reader?.read()

  service.child.kill('SIGINT')
  const [code] = await service.exited
  t.equal(code, 0, 'a clean end: at the deadline it would have been 1')
})

t.test('production without an upstream refuses to start, in one line', async t => {
  const service = run(t, { NODE_ENV: 'production' })
  const [code] = await service.exited
  t.equal(code, 1)
  t.equal(service.output.length, 1)
  t.match(service.output[0], /PUBLIC_URL, OAUTH_ISSUER_URL/)
})
