import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pipeline } from 'node:stream'
import { startDemoUpstream } from '../../src/demo/upstream.js'
import { run } from '../e2e/installed.js'
import { sdk1Http, sdk1Sse, sdk2 } from '../e2e/journeys.js'
import { visitAtOnce } from '../e2e/visits.js'
import { useSample } from '../hosted/uses.js'
import { logInAt, RawSession } from '../support/raw-session.js'
import { percentiles, Report, within } from '../support/report.js'
import { root } from '../support/root.js'
import { answers, docker, until } from './docker.js'

/*
 * compose.yaml as it stands, in Docker: npx tsx test/container/compose.ts
 * Needs port 8080. The demo upstream is on loopback, and so is `localhost` for what runs in a container: beside each
 * replica stands one more container that leads from there to here, over a socket in a folder that they share.
 */
const SERVICE = 'http://localhost:8080'
const REPLICAS = ['app-1', 'app-2']
const CALLS = 40

const folder = mkdtempSync(join(tmpdir(), 'compose-'))
const upstream = await startDemoUpstream({ port: 0 })
const upstreamPort = Number(new URL(upstream.issuer).port)
const door = createServer(socket => {
  pipeline(socket, connect(upstreamPort, '127.0.0.1'), socket, () => {})
}).listen(join(folder, 'socket'))
await once(door, 'listening')
chmodSync(folder, 0o755)
chmodSync(join(folder, 'socket'), 0o777)
const passage =
  `const net = require('net')
  net.createServer(socket => {
    require('stream').pipeline(socket, net.connect('/upstream/socket'), socket, () => {})
  }).listen(${upstreamPort}, '127.0.0.1')`
writeFileSync(
  join(folder, 'compose.json'),
  JSON.stringify({
    // for this machine alone
    networks: { default: { driver_opts: { 'com.docker.network.bridge.host_binding_ipv4': '127.0.0.1' } } },
    services: Object.fromEntries(
      REPLICAS.map(
        replica => [`upstream-of-${replica}`, {
          image: 'fastify-mcp-oauth',
          network_mode: `service:${replica}`,
          volumes: [`${folder}:/upstream:ro`],
          entrypoint: ['node', '-e', passage],
          healthcheck: { disable: true },
          stop_signal: 'SIGKILL'
        }]
      )
    )
  })
)
const environment = {
  ...process.env,
  COMPOSE_PROJECT_NAME: 'fastify-mcp-oauth-proof',
  OAUTH_ISSUER_URL: upstream.issuer,
  REDIS_PASSWORD: randomBytes(32).toString('hex'),
  ENCRYPTION_KEYS: `proof:${randomBytes(32).toString('base64url')}`
}
// the second version of the command, or the first
const command = await run('docker', ['compose', 'version']).then(() => ['docker', 'compose'], () => ['docker-compose'])

async function compose (...args: readonly string[]): Promise<string> {
  const [program = '', ...subcommand] = command
  const { stdout } = await run(program, [
    ...subcommand,
    '--file',
    'compose.yaml',
    '--file',
    join(folder, 'compose.json'),
    '--project-directory',
    root,
    ...args
  ], { cwd: root, env: environment, maxBuffer: 64 * 1024 * 1024 })
  return stdout.trim()
}

const container = async (service: string) => await compose('ps', '--quiet', service)
/** Starts replicas again, and anew what leads to their upstream: it was in the network of those that have ended. */
async function again (replicas: readonly string[], ...flags: readonly string[]): Promise<void> {
  await compose('up', '--detach', '--no-deps', ...flags, ...replicas)
  for (const replica of replicas) {
    await until(`${replica} is healthy`, async () =>
      await docker('inspect', '--format', '{{.State.Health.Status}}', await container(replica)) === 'healthy')
  }
  await compose('up', '--detach', '--no-deps', '--force-recreate', ...replicas.map(replica => `upstream-of-${replica}`))
}

const report = new Report(
  `compose.yaml, with Docker ${await docker(
    'version',
    '--format',
    '{{.Server.Version}}'
  )} and ${(await compose('version', '--short'))}`
)

/** Calls in a session, one after the other: each must give its result. */
async function calls (session: RawSession, when: string): Promise<void> {
  const took: number[] = []
  for (let call = 0; call < CALLS; call++) {
    const began = Date.now()
    const outcome = await session.call(SERVICE, 'add', { l: 2, r: call })
    took.push(Date.now() - began)
    assert.deepEqual(outcome, { end: 'result', text: String(2 + call), resumed: false })
  }
  report.figure(`${CALLS} calls ${when}`, percentiles(took))
}

const served = async (replica: string) =>
  (await docker('logs', await container(replica))).split('\n').filter(line =>
    line.includes('"/mcp"') && line.includes('POST')
  ).length

try {
  await compose('up', '--detach', '--build')
  await until(`${SERVICE} serves`, () => answers(`${SERVICE}/readyz`))
  await report.attempt('SDK 1.x, Streamable HTTP: login, add, progress, refresh', () =>
    visitAtOnce(sdk1Http, SERVICE, useSample))
  await report.attempt('SDK 1.x, HTTP+SSE', () => visitAtOnce(sdk1Sse, SERVICE, useSample))
  await report.attempt('SDK 2.x, 2026-07-28', () => visitAtOnce(sdk2('auto'), SERVICE, useSample))
  await report.attempt('/metrics is not for the world', async () => {
    assert.ok(await answers(`${SERVICE}/metrics`, 404))
  })

  const login = await within(() => logInAt(SERVICE))
  const session = await within(() => RawSession.open(SERVICE, login))
  await report.attempt('one session is served by both replicas', async () => {
    const before = await Promise.all(REPLICAS.map(served))
    await calls(session, 'with both replicas')
    const after = await Promise.all(REPLICAS.map(served))
    for (const [index, replica] of REPLICAS.entries()) assert.ok((after[index] ?? 0) > (before[index] ?? 0), replica)
  })
  await report.attempt('one replica is killed: the session goes on, and people log in', async () => {
    await docker('kill', await container('app-1'))
    await calls(session, 'without app-1')
    await RawSession.open(SERVICE, await logInAt(SERVICE, 'bob'))
  })
  await report.attempt(
    'it comes back, and the other leaves with SIGTERM while a stream is open: exit code 0, and the session goes on',
    async () => {
      await again(['app-1'])
      const streams = [await session.get(SERVICE), await (await RawSession.open(SERVICE, login)).get(SERVICE)]
      const ends = streams.map(async stream => await stream.text())
      const leaving = await container('app-2')
      await compose('stop', 'app-2')
      assert.equal(await docker('inspect', '--format', '{{.State.ExitCode}}', leaving), '0')
      assert.match(await Promise.race(ends), /^retry: \d+$/m, 'a stream of its ended with a hint')
      await calls(session, 'without app-2')
    }
  )
  await report.attempt('both are made anew: nginx finds them, and the session goes on', async () => {
    await again(['app-2'])
    await again(REPLICAS, '--force-recreate')
    await until(`${SERVICE} serves`, () => answers(`${SERVICE}/readyz`))
    await calls(session, 'with both anew')
    await RawSession.open(SERVICE, await logInAt(SERVICE, 'carol'))
  })
  await report.attempt('Redis restarts: the session goes on', async () => {
    await compose('restart', 'redis')
    await until(`${SERVICE} serves`, () => answers(`${SERVICE}/readyz`))
    await calls(session, 'after Redis')
  })
} finally {
  await compose('down', '--volumes', '--timeout', '1')
  door.close()
  await upstream.close()
  rmSync(folder, { recursive: true })
}
report.end()
