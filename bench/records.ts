import { createHash, randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import { createRedisStores } from '../src/stores/redis/stores.js'
import { startRedis } from '../test/replicas/cluster.js'
import { end } from '../test/replicas/processes.js'
import { scriptArguments } from '../test/support/script-arguments.js'
import { freePort } from '../test/support/free-port.js'

/*
 * W4 for sessions that are only a record: what Redis keeps for each.
 */
const { number } = scriptArguments('npx tsx bench/records.ts [--sessions 100000] [--per-owner 1]')
const sessions = number('sessions')
const perOwner = number('per-owner')
const AT_ONCE = 64

// what a client that has everything sends
const initializeParams = {
  protocolVersion: '2025-11-25',
  capabilities: {
    roots: { listChanged: true },
    sampling: { tools: {}, context: {} },
    elicitation: { form: {}, url: {} },
    extensions: { 'io.modelcontextprotocol/ui': { mimeTypes: ['text/html;profile=mcp-app'] } }
  },
  clientInfo: {
    name: 'example-desktop-client',
    title: 'Example Desktop Client',
    version: '1.24.3',
    websiteUrl: 'https://client.example',
    description: 'A client with a window.'
  }
}

const dir = mkdtempSync(join(tmpdir(), 'bench-records-'))
const port = await freePort()
const redisProcess = await startRedis(dir, port)
const redis = new Redis(port)
const stores = createRedisStores({ url: `redis://127.0.0.1:${port}`, sessionIdleSeconds: 86_400 })

const figure = async (name: string): Promise<number> =>
  Number(new RegExp(`${name}:(\\d+)`).exec(await redis.info('memory'))?.[1])

async function create (index: number): Promise<void> {
  const now = Math.floor(Date.now() / 1000)
  const person = createHash('sha256').update(String(Math.floor(index / perOwner))).digest('hex')
  await stores.sessions.create({
    id: randomBytes(24).toString('base64url'),
    kind: 'streamable-http',
    owner: {
      issuer: 'https://login.example.com/tenant',
      subject: `auth0|${person.slice(0, 24)}`,
      clientId: `mcp-client-${person.slice(24, 46)}`
    },
    initialized: true,
    initializeParams,
    protocolVersion: '2025-11-25',
    subscriptions: [],
    lastSeenAt: now,
    expiresAt: now + 7 * 86_400
  }, { perOwner, perPerson: perOwner })
}

try {
  while (!await stores.check().then(() => true, () => false)) continue
  const [before, rssBefore] = [await figure('used_memory'), await figure('used_memory_rss')]
  const begun = performance.now()
  let next = 0
  await Promise.all(Array.from({ length: AT_ONCE }, async () => { while (next < sessions) await create(next++) }))
  const seconds = (performance.now() - begun) / 1000
  const [used, rss] = [await figure('used_memory') - before, await figure('used_memory_rss') - rssBefore]
  const keys = await redis.dbsize()
  const version = /redis_version:(\S+)/.exec(await redis.info('server'))?.[1]
  process.stdout.write([
    `Sessions that are only a record, in Redis ${version}; ${
      JSON.stringify(initializeParams).length
    } bytes of initialize parameters, ${perOwner} for each owner`,
    `  sessions: ${sessions} (${keys} keys), created at ${Math.round(sessions / seconds)}/s`,
    `  used_memory: ${Math.round(used / sessions)} bytes per session, ${
      (used / sessions * 1e6 / 2 ** 30).toFixed(2)
    } GiB for a million`,
    `  used_memory_rss: ${Math.round(rss / sessions)} bytes per session, ${
      (rss / sessions * 1e6 / 2 ** 30).toFixed(2)
    } GiB for a million`,
    ''
  ].join('\n'))
} finally {
  redis.disconnect()
  await stores.close()
  await end(redisProcess, 'SIGKILL')
  rmSync(dir, { recursive: true, force: true })
}
