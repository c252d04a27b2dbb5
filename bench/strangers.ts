import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { FastifyInstance, InjectOptions } from 'fastify'
import { Redis } from 'ioredis'
import { buildApp } from '../src/app.js'
import { loadConfig } from '../src/config/config.js'
import { ScriptableUpstream } from '../src/testing/index.js'
import { textAt } from '../test/support/json.js'
import { startRedis } from '../test/replicas/cluster.js'
import { end } from '../test/replicas/processes.js'
import { scriptArguments } from '../test/support/script-arguments.js'
import { freePort } from '../test/support/free-port.js'
import { QUIET } from '../test/support/service.js'
import { createServer } from '../test/support/sample-server.js'

/*
 * What callers without any token can make the service keep, and send: each endpoint is asked with the largest request
 * that it takes, from one address and from as many addresses as there are requests. Prints the rows of the table in
 * SECURITY.md.
 */

const usage = 'npx tsx bench/strangers.ts [--requests 1000]'
const requests = scriptArguments(usage).number('requests')
const AT_ONCE = 20
const FORM = { 'content-type': 'application/x-www-form-urlencoded' }
const JSON_BODY = { 'content-type': 'application/json' }
const PKCE = { code_challenge: 'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM', code_challenge_method: 'S256' }
const REDIRECT_URI = 'https://app.example/callback'
const STATE = 'x'.repeat(4000)

/** What is asked, the `index`th time. */
interface Endpoint {
  name: string
  ask (app: FastifyInstance, remoteAddress: string, index: number): Promise<number>
}

/** What came of it. */
interface Figures {
  statuses: Map<number, number>
  keptBytes: number
  keys: number
  lifetimeSeconds: number
  heapBytes: number
  upstreamRequests: number
}

const form = (members: Record<string, string>) => new URLSearchParams(members).toString()
const inject = async (app: FastifyInstance, options: InjectOptions) => (await app.inject(options)).statusCode
const post = (url: string, members: Record<string, string>) => (app: FastifyInstance, remoteAddress: string) =>
  inject(app, { method: 'POST', url, remoteAddress, headers: FORM, payload: form(members) })
const get = (url: string, headers: Record<string, string> = {}) => (app: FastifyInstance, remoteAddress: string) =>
  inject(app, { url, remoteAddress, headers })

async function clientOf (app: FastifyInstance, remoteAddress: string): Promise<string> {
  const known = clients.get(app)
  if (known !== undefined) return known
  const registered = app.inject({
    method: 'POST',
    url: '/register',
    remoteAddress,
    headers: JSON_BODY,
    payload: { client_name: 'A stranger', redirect_uris: [REDIRECT_URI], token_endpoint_auth_method: 'none' }
  }).then(response => textAt(response.json(), 'client_id'))
  clients.set(app, registered)
  return await registered
}
const clients = new WeakMap<FastifyInstance, Promise<string>>()

async function authorizationRequest (app: FastifyInstance, remoteAddress: string): Promise<string> {
  const clientId = await clientOf(app, remoteAddress)
  return form({ response_type: 'code', client_id: clientId, redirect_uri: REDIRECT_URI, state: STATE, ...PKCE })
}

/** A person without a login presses "Allow" and goes no further. */
async function allow (app: FastifyInstance, remoteAddress: string): Promise<number> {
  const page = await app.inject({ url: `/authorize?${await authorizationRequest(app, remoteAddress)}`, remoteAddress })
  const transaction = /name="transaction" value="([^"]+)"/.exec(page.body)?.[1]
  if (transaction === undefined) return page.statusCode
  const cookie = String(page.headers['set-cookie']).split(';')[0] ?? ''
  return await inject(app, {
    method: 'POST',
    url: '/authorize/consent',
    remoteAddress,
    headers: { ...FORM, cookie, origin: 'http://localhost:5050' },
    payload: form({ transaction, decision: 'allow' })
  })
}

const registration = {
  client_name: 'x'.repeat(100),
  redirect_uris: Array.from({ length: 10 }, (_, index) => `${REDIRECT_URI}/${index}/${'x'.repeat(500)}`),
  client_uri: `https://app.example/${'x'.repeat(500)}`,
  token_endpoint_auth_method: 'none'
}

const mcp =
  (method: 'POST' | 'GET' | 'DELETE', url: string) => (app: FastifyInstance, remoteAddress: string, index: number) =>
    inject(app, {
      method,
      url,
      remoteAddress,
      headers: {
        ...JSON_BODY,
        accept: 'application/json, text/event-stream',
        authorization: `Bearer mcpa_${String(index).padStart(43, 'A')}`
      },
      ...method === 'POST' && { payload: { jsonrpc: '2.0', id: 1, method: 'ping' } }
    })

const endpoints: Endpoint[] = [
  {
    name: 'GET /authorize',
    ask: async (app, address) =>
      await inject(app, { url: `/authorize?${await authorizationRequest(app, address)}`, remoteAddress: address })
  },
  {
    name: 'POST /authorize',
    ask: async (app, address) =>
      await inject(app, {
        method: 'POST',
        url: '/authorize',
        remoteAddress: address,
        headers: FORM,
        payload: await authorizationRequest(app, address)
      })
  },
  {
    name: 'GET /authorize, connected-apps',
    ask: get(
      `/authorize?${
        form({
          response_type: 'code',
          client_id: 'connected-apps',
          redirect_uri: 'http://localhost:5050/oauth/connections/callback',
          state: STATE,
          ...PKCE
        })
      }`
    )
  },
  {
    name: 'GET /authorize, a document',
    ask: (app, address, index) =>
      get(
        `/authorize?${
          form({
            response_type: 'code',
            client_id: `https://host-${index}.invalid/client.json`,
            redirect_uri: REDIRECT_URI,
            state: STATE,
            ...PKCE
          })
        }`
      )(app, address)
  },
  { name: 'POST /authorize/consent', ask: allow },
  { name: 'GET /oauth/callback', ask: get(`/oauth/callback?${form({ state: STATE, code: 'made-up' })}`) },
  {
    name: 'POST /register',
    ask: (app, address) =>
      inject(app, {
        method: 'POST',
        url: '/register',
        remoteAddress: address,
        headers: JSON_BODY,
        payload: registration
      })
  },
  {
    name: 'POST /token',
    ask: (app, address, index) =>
      post('/token', {
        grant_type: 'refresh_token',
        refresh_token: `mcpr_${String(index).padStart(43, 'A')}`,
        client_id: 'made-up'
      })(app, address)
  },
  {
    name: 'POST /token, a document',
    ask: (app, address, index) =>
      post('/token', {
        grant_type: 'authorization_code',
        code: 'x',
        code_verifier: 'x'.repeat(43),
        client_id: `https://host-${index}.invalid/client.json`
      })(app, address)
  },
  { name: 'POST /revoke', ask: post('/revoke', { token: 'made-up', client_id: 'made-up' }) },
  { name: 'POST /introspect', ask: post('/introspect', { token: 'made-up' }) },
  { name: 'GET /oauth/connections/login', ask: get('/oauth/connections/login') },
  { name: 'GET /oauth/connections', ask: get('/oauth/connections', { cookie: 'person=made-up' }) },
  { name: 'POST /mcp', ask: mcp('POST', '/mcp') },
  { name: 'GET /mcp', ask: mcp('GET', '/mcp') },
  { name: 'DELETE /mcp', ask: mcp('DELETE', '/mcp') },
  { name: 'GET /sse', ask: mcp('GET', '/sse') },
  { name: 'POST /messages', ask: mcp('POST', '/messages?sessionId=made-up') },
  { name: 'GET /.well-known/…', ask: get('/.well-known/oauth-authorization-server') },
  { name: 'GET /admin/attempts', ask: get('/admin/attempts', { authorization: 'Bearer made-up' }) },
  { name: 'GET /readyz', ask: get('/readyz') },
  { name: 'an unknown path', ask: get('/nowhere') }
]

async function measure (endpoint: Endpoint, addressOf: (index: number) => string, redisUrl: string): Promise<Figures> {
  const upstream = new ScriptableUpstream()
  const redis = new Redis(redisUrl)
  const environment = {
    ...QUIET,
    OAUTH_ISSUER_URL: upstream.issuer,
    ADMIN_TOKEN: 'a-token-of-an-operator',
    ENCRYPTION_KEYS: `a:${Buffer.alloc(32, 1).toString('base64url')}`
  }
  const build = async (more: Record<string, string>) => {
    const config = loadConfig({ ...environment, ...more }, { dotenv: false })
    if (config.upstream === undefined) throw new Error('no upstream')
    return await buildApp(config, { createServer, upstream: { ...config.upstream, fetch: upstream.fetch } })
  }
  try {
    await redis.flushall()
    const app = await build({ REDIS_URL: redisUrl })
    // the first asks connections, discovery and the registration that the others share
    await endpoint.ask(app, '203.0.113.1', 0)
    upstream.requests.splice(0)
    const bytesBefore = await usedBytes(redis)
    const keysBefore = new Set(await redis.keys('*'))
    const statuses = await askAll(app, endpoint, addressOf)
    const figures = {
      statuses,
      keptBytes: await usedBytes(redis) - bytesBefore,
      keys: await redis.dbsize() - keysBefore.size,
      lifetimeSeconds: await longestLife(redis, keysBefore),
      upstreamRequests: upstream.requests.length
    }
    await app.close()
    const inMemory = await build({})
    await endpoint.ask(inMemory, '203.0.113.1', 0)
    const heapBefore = await heapBytes()
    await askAll(inMemory, endpoint, addressOf)
    const heap = await heapBytes() - heapBefore
    await inMemory.close()
    return { ...figures, heapBytes: heap }
  } finally {
    redis.disconnect()
  }
}

async function askAll (
  app: FastifyInstance,
  endpoint: Endpoint,
  addressOf: (index: number) => string
): Promise<Map<number, number>> {
  const statuses = new Map<number, number>()
  let next = 1
  await Promise.all(Array.from({ length: AT_ONCE }, async () => {
    while (next <= requests) {
      const index = next++
      const status = await endpoint.ask(app, addressOf(index), index)
      statuses.set(status, (statuses.get(status) ?? 0) + 1)
    }
  }))
  return statuses
}

async function usedBytes (redis: Redis): Promise<number> {
  return Number(/used_memory_dataset:(\d+)/.exec(await redis.info('memory'))?.[1])
}

/** Of keys that have come. */
async function longestLife (redis: Redis, before: ReadonlySet<string>): Promise<number> {
  let longest = 0
  for (const key of await redis.keys('*')) {
    if (before.has(key)) continue
    const seconds = await redis.ttl(key)
    longest = seconds === -1 ? Infinity : Math.max(longest, seconds)
  }
  return longest
}

async function heapBytes (): Promise<number> {
  if (global.gc === undefined) throw new Error('Run it with NODE_OPTIONS=--expose-gc.')
  await delay(50)
  for (let turns = 0; turns < 4; turns++) global.gc()
  return process.memoryUsage().heapUsed
}

const inWords = (statuses: Map<number, number>) =>
  [...statuses].sort().map(([status, count]) => `${count} × ${status}`).join(', ')
const inKilobytes = (bytes: number) => `${(Math.max(0, bytes) / 1000).toFixed(0)} KB`

function row (
  name: string,
  { statuses, keptBytes, keys, lifetimeSeconds, heapBytes, upstreamRequests }: Figures
): string {
  return `| ${
    [
      name,
      inWords(statuses),
      `${inKilobytes(keptBytes)}, ${keys} keys`,
      `${lifetimeSeconds} s`,
      inKilobytes(heapBytes),
      upstreamRequests
    ].join(' | ')
  } |\n`
}

const directory = mkdtempSync(join(tmpdir(), 'bench-strangers-'))
const port = await freePort()
const redisProcess = await startRedis(directory, port)
const redisUrl = `redis://127.0.0.1:${port}`
try {
  process.stdout.write(
    `${requests} requests each\n\n` +
      '| endpoint, from | answered | kept in Redis | longest life | kept in memory | requests upstream |\n' +
      '| --- | --- | --- | --- | --- | --- |\n'
  )
  for (const endpoint of endpoints) {
    process.stdout.write(row(`${endpoint.name}, one address`, await measure(endpoint, () => '198.51.100.1', redisUrl)))
    process.stdout.write(
      row(
        `${endpoint.name}, ${requests} addresses`,
        await measure(endpoint, index => `10.${index >> 16 & 255}.${index >> 8 & 255}.${index & 255}`, redisUrl)
      )
    )
  }
} finally {
  await end(redisProcess, 'SIGKILL')
  rmSync(directory, { recursive: true, force: true })
}
