import assert from 'node:assert/strict'
import { appendFileSync, cpSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs'
import { spawn } from 'node:child_process'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as delay } from 'node:timers/promises'
import { Client as Client2, StreamableHTTPClientTransport as Transport2 } from '@modelcontextprotocol/client'
import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import { freePort } from '../support/free-port.js'
import { Person } from '../support/person.js'
import { percentiles, Report } from '../support/report.js'
import { root } from '../support/root.js'
import { scriptArguments } from '../support/script-arguments.js'

/*
 * `npm run dev` on a copy of this checkout, whose server is saved again and again. Clients of both SDKs, which cannot
 * forget a login (no `invalidateCredentials`), stay connected: the same session, and nobody logs in again.
 */
const { positionals: [saves = '10'] } = scriptArguments('npx tsx test/e2e/dev.ts [SAVES]')
const clientInfo = { name: 'dev', version: '1.0.0' }
const PATIENCE_MS = 60_000
const POLL_MS = 50
const sum = { name: 'add', arguments: { l: 2, r: 3 } }

const folder = mkdtempSync(join(tmpdir(), 'dev-'))
for (const name of ['package.json', 'tsconfig.json', 'src']) {
  cpSync(join(root, name), join(folder, name), { recursive: true })
}
symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'))
const port = await freePort()
const url = `http://localhost:${port}`
const { PATH, HOME } = process.env
const dev = spawn('npm', ['run', 'dev'], {
  cwd: folder,
  detached: true,
  stdio: ['ignore', 'pipe', 'pipe'],
  env: { PATH, HOME, PORT: String(port), DEMO_UPSTREAM_PORT: String(await freePort()), MAX_EVENT_LOOP_DELAY_MS: '0' }
})
const output: string[] = []
let started = 0
for (const input of [dev.stdout, dev.stderr]) {
  createInterface({ input }).on('line', line => {
    output.push(line)
    if (/MCP server: /.test(line)) started++
  })
}
const ended = new Promise(resolve => { dev.once('close', resolve) })
const end = () => { if (dev.pid !== undefined && dev.exitCode === null) process.kill(-dev.pid, 'SIGKILL') }
process.once('exit', end)

async function until (what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  const latest = Date.now() + PATIENCE_MS
  while (!await holds()) {
    if (Date.now() > latest || dev.exitCode !== null) {
      throw new Error(`${what}: not in time\n${output.slice(-20).join('\n')}`)
    }
    await delay(POLL_MS)
  }
}

/** The streams that clients have open for what comes unasked. */
async function countStreams (): Promise<number> {
  const text = await fetch(`${url}/metrics`).then(response => response.text(), () => '')
  return Number(/^mcp_streams (\d+)$/m.exec(text)?.[1])
}

/** Clients of both SDKs, each with the stream that it opens for what comes unasked. */
async function connect () {
  const alice = new Person('alice')
  const bob = new Person('bob')
  const first = new StreamableHTTPClientTransport(new URL(`${url}/mcp`), { authProvider: alice })
  await assert.rejects(new Client(clientInfo).connect(first))
  await first.finishAuth((await alice.logIn()).get('code') ?? '')
  const transport = new StreamableHTTPClientTransport(new URL(`${url}/mcp`), { authProvider: alice })
  const client = new Client(clientInfo)
  await client.connect(transport)

  const first2 = new Transport2(new URL(`${url}/mcp`), { authProvider: bob })
  await assert.rejects(new Client2(clientInfo).connect(first2))
  await first2.finishAuth(await bob.logIn())
  const transport2 = new Transport2(new URL(`${url}/mcp`), { authProvider: bob })
  const client2 = new Client2(clientInfo)
  await client2.connect(transport2)

  const people = [alice, bob]
  for (const person of people) {
    person.authorizationUrl = undefined
    assert.ok(!('invalidateCredentials' in person))
  }
  const lost: string[] = []
  client.onerror = error => { lost.push(`SDK 1.x: ${error.message}`) }
  client2.onerror = error => { lost.push(`SDK 2.x: ${error.message}`) }
  return {
    lost,
    clients: {
      'SDK 1.x': { call: () => client.callTool(sum), session: () => transport.sessionId },
      'SDK 2.x': { call: () => client2.callTool(sum), session: () => transport2.sessionId }
    },
    logins: () => people.filter(({ authorizationUrl }) => authorizationUrl !== undefined).length
  }
}

const report = new Report(`npm run dev, ${saves} saves`)
try {
  await until('it starts', () => started === 1)
  const { clients, logins, lost } = await connect()
  await until('both have a stream', async () => await countStreams() === 2)
  const sessions = Object.values(clients).map(({ session }) => session())
  const [starts, streams]: [number[], number[]] = [[], []]
  for (let save = 1; save <= Number(saves); save++) {
    await report.attempt(`save ${save}: the same sessions, streams again, no login`, async () => {
      const began = Date.now()
      appendFileSync(join(folder, 'src/mcp/server.ts'), `// save ${save}\n`)
      await until('it starts again', () => started === save + 1)
      starts.push(Date.now() - began)
      for (const [name, { call }] of Object.entries(clients)) {
        assert.deepEqual((await call()).content, [{ type: 'text', text: '5' }], name)
      }
      assert.deepEqual(Object.values(clients).map(({ session }) => session()), sessions)
      await until('both have a stream again', async () => await countStreams() === 2)
      streams.push(Date.now() - began)
      assert.equal(logins(), 0)
    })
  }
  report.figure('from a save to the next start', percentiles(starts))
  report.figure('from a save until both have a stream again', percentiles(streams))
  report.figure('what the clients said meanwhile', [...new Set(lost)].join('; ') || 'nothing')
} finally {
  end()
  await ended
  process.off('exit', end)
  rmSync(folder, { recursive: true, force: true })
}
report.end()
