import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { rmSync } from 'node:fs'
import { createServer as createHttpServer } from 'node:http'
import { createServer, type Server } from 'node:net'
import { join } from 'node:path'
import Fastify from 'fastify'
import { exportJWK, generateKeyPair, SignJWT } from 'jose'
import { ClientError } from 'openid-client'
import t, { type Test } from 'tap'
import { MetadataDocumentFetcher } from '../src/oauth/client-documents/fetch.js'
import { RateLimits } from '../src/oauth/rate-limits.js'
import { createTokenVerifier } from '../src/oauth/resource-server/resource-server.js'
import { discover } from '../src/oauth/upstream/discovery.js'
import { upstreamError } from '../src/oauth/upstream/upstream-errors.js'
import { mcpErrors } from '../src/plugins/mcp/json-rpc-bodies.js'
import { oauthErrors } from '../src/plugins/oauth/errors.js'
import { pages } from '../src/plugins/scoped/pages.js'
import { tooManyAttempts } from '../src/stores/memory/authorizations.js'
import { noRoom } from '../src/stores/memory/registrations.js'
import { RedisConnection } from '../src/stores/redis/connection/connection.js'
import type { SqliteDatabase } from '../src/stores/sqlite/database/database.js'
import { toOutage } from '../src/stores/sqlite/database/errors.js'
import { openDatabase } from '../src/stores/sqlite/database/open.js'
import { SqliteGrantStore } from '../src/stores/sqlite/grants.js'
import { addGrant } from './stores/standing-grant.js'
import { addressOf } from './support/address-of.js'

const UNUSABLE_KEY = { kty: 'EC', crv: 'P-256' }
const ISSUER = 'https://login.example.com'
const RESOURCE = 'https://mcp.example.com/mcp'
const ACTS = /The operator of this service has to look into it\.$/

/** What a caller is told: by itself in so many seconds; not before the operator acts; never. */
type Told = number | 'operator' | 'never'
type Row = [failure: string, status: number, told: Told, fail: (t: Test) => Promise<unknown>]

const json = (body: unknown, status = 200) => Response.json(body, { status })
const cut = (code: string) => async (): Promise<Response> => {
  throw new TypeError('fetch failed', { cause: Object.assign(new Error(code), { code }) })
}
const responds = (status: number) => async () => new Response('', { status })

/** Discovery at a login server that fails like this. */
const discovery = (fetch: () => Promise<Response>) => async () => await discover(new URL(ISSUER), fetch)

/** The verification of a token whose issuer gives this response to requests for its keys, or about a token. */
function verification (last: () => Promise<Response>, isOpaque = false) {
  return async () => {
    const { privateKey, publicKey } = await generateKeyPair('ES256')
    const jwk = await exportJWK(publicKey)
    const token = isOpaque
      ? 'opaque'
      : await new SignJWT({ aud: RESOURCE, sub: jwk.kty ?? '' }).setProtectedHeader({ alg: 'ES256' })
        .setExpirationTime('5m').setIssuer(ISSUER).sign(privateKey)
    const metadata = { issuer: ISSUER, jwks_uri: `${ISSUER}/jwks`, introspection_endpoint: `${ISSUER}/introspect` }
    const verify = createTokenVerifier({
      issuer: ISSUER,
      audiences: [RESOURCE],
      introspection: { clientId: 'id', clientSecret: 'secret' },
      fetch: async url => String(url).includes('well-known') ? json(metadata) : await last()
    })
    await verify(token).catch(() => {})
    // at once again: what is remembered says the same
    return await verify(token)
  }
}

async function listen (t: Test, server: Server): Promise<number> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const address = addressOf(server)
  return address.port
}

/** A client whose metadata document comes with this status; from a server that speaks no TLS, if there is none. */
function metadataDocument (status?: number) {
  return async (t: Test) => {
    const server = createHttpServer((_request, response) => { response.writeHead(status ?? 200).end() })
    const port = await listen(t, server)
    const fetcher = new MetadataDocumentFetcher({ allowLoopback: true })
    const url = `${status === undefined ? 'https' : 'http'}://127.0.0.1:${port}/client`
    await fetcher.fetch(url).catch(() => {})
    return await fetcher.fetch(url)
  }
}

/** A command to which Redis replies with this error. */
function redis (reply: string) {
  return async (t: Test) => {
    const server = createServer(socket => {
      socket.on('error', () => {})
      socket.on('data', data => {
        const commands = String(data).split(/(?=\*\d+\r\n)/)
        socket.write(commands.map(command => /\r\nget\r\n/i.test(command) ? `-${reply}\r\n` : '+OK\r\n').join(''))
      })
    })
    const connection = new RedisConnection({ url: `redis://127.0.0.1:${await listen(t, server)}` })
    try {
      return await connection.run(async client => await client.get('key'))
    } finally {
      await connection.close()
    }
  }
}

/** A command at an address where TLS is expected of a server that speaks none. */
async function redisWithoutTls (t: Test) {
  const server = createServer(socket => {
    socket.on('error', () => {})
    socket.once('data', () => { socket.end('-ERR no TLS here\r\n') })
  })
  const connection = new RedisConnection({ url: `rediss://127.0.0.1:${await listen(t, server)}`, graceMs: 300 })
  try {
    return await connection.run(async client => await client.get('key'))
  } finally {
    await connection.close()
  }
}

/** A step of a file that fails with this result code of SQLite, or of the system. */
function sqliteCode (code: string) {
  return async () => { throw toOutage(Object.assign(new Error(code), { code }), '/data/state.sqlite') }
}

/** A step after something was done to a database that was open. */
function sqlite (act: (database: SqliteDatabase, file: string) => void) {
  return async (t: Test) => {
    const file = join(t.testdir({}), 'state.sqlite')
    const database = openDatabase({ file })
    t.teardown(() => { database.close() })
    const grants = new SqliteGrantStore(database)
    act(database, file)
    await addGrant(grants, `grant-${'x'.repeat(100_000)}`, 'alice', 'token')
  }
}

const ROWS: Row[] = [
  ...['ECONNREFUSED', 'ECONNRESET', 'ETIMEDOUT', 'EAI_AGAIN', 'UND_ERR_SOCKET', 'ENETUNREACH']
    .map((code): Row => [`the login server: ${code}`, 503, 5, discovery(cut(code))]),
  ...[
    'ENOTFOUND',
    'CERT_HAS_EXPIRED',
    'DEPTH_ZERO_SELF_SIGNED_CERT',
    'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
    'ERR_TLS_CERT_ALTNAME_INVALID',
    'ERR_SSL_WRONG_VERSION_NUMBER',
    'EPROTO',
    'HPE_INVALID_CONSTANT'
  ].map((code): Row => [`the login server: ${code}`, 503, 'operator', discovery(cut(code))]),
  ...[429, 500, 502, 503, 504].map((status): Row =>
    [`the login server responds with ${status}`, 503, 5, discovery(responds(status))]
  ),
  ...[501, 505].map((status): Row =>
    [`the login server responds with ${status}`, 503, 'operator', discovery(responds(status))]
  ),
  ['the login server responds with 404', 502, 'never', discovery(responds(404))],
  ['the login server does not respond in time', 503, 5, async () => {
    throw upstreamError(new ClientError('late', { cause: new DOMException('late', 'TimeoutError') }))
  }],

  ...[429, 500, 503].map((status): Row => [`keys: ${status}`, 503, 5, verification(responds(status))]),
  ...[400, 401, 404, 501].map((status): Row => [`keys: ${status}`, 503, 'operator', verification(responds(status))]),
  ['keys: EAI_AGAIN', 503, 5, verification(cut('EAI_AGAIN'))],
  ['keys: CERT_HAS_EXPIRED', 503, 'operator', verification(cut('CERT_HAS_EXPIRED'))],
  ['keys that are none', 503, 'operator', verification(async () => json({ keys: 1 }))],
  ['keys that are not JSON', 503, 'operator', verification(async () => new Response('<html>'))],
  ['a key that cannot be used', 503, 'operator', verification(async () => json({ keys: [UNUSABLE_KEY] }))],
  ['introspection: 503', 503, 5, verification(async () => json({ error: 'server_error' }, 503), true)],
  ['introspection: ECONNRESET', 503, 5, verification(cut('ECONNRESET'), true)],
  ['introspection refuses us', 503, 'operator', verification(async () => json({ error: 'invalid_client' }, 401), true)],
  ['introspection: ENOTFOUND', 503, 'operator', verification(cut('ENOTFOUND'), true)],

  ...[429, 500, 503].map((status): Row => [`a metadata document: ${status}`, 503, 30, metadataDocument(status)]),
  ...[404, 501, 505].map((status): Row => [`a metadata document: ${status}`, 401, 'never', metadataDocument(status)]),
  ['a metadata document behind broken TLS', 401, 'never', metadataDocument()],

  ...['LOADING x', 'BUSY x', 'READONLY x', 'CLUSTERDOWN x'].map((reply): Row => [reply, 503, 2, redis(reply)]),
  ...['MISCONF x', 'OOM x', 'NOAUTH x', 'WRONGPASS x', 'NOPERM x'].map((reply): Row =>
    [reply, 503, 'operator', redis(reply)]
  ),
  ['Redis without TLS', 503, 'operator', redisWithoutTls],

  ['SQLite: a full disk', 503, 'operator', sqlite(it => it.query('PRAGMA max_page_count = 1')())],
  ['SQLite: a disk that is read-only', 503, 'operator', sqlite(it => it.query('PRAGMA query_only = ON')())],
  ['SQLite: a file that was removed', 503, 'operator', sqlite((it, file) => {
    rmSync(file)
    it.check()
  })],
  ['SQLite: closed', 503, 2, sqlite(it => { it.close() })],
  ...[
    'SQLITE_FULL',
    'SQLITE_READONLY_DBMOVED',
    'SQLITE_CANTOPEN',
    'SQLITE_PERM',
    'SQLITE_CORRUPT_INDEX',
    'SQLITE_NOTADB',
    'SQLITE_IOERR_WRITE',
    'SQLITE_IOERR_FSYNC',
    'SQLITE_PROTOCOL',
    'SQLITE_BUSY',
    'ENOSPC',
    'EDQUOT',
    'EROFS',
    'EIO'
  ].map((code): Row => [`SQLite: ${code}`, 503, 'operator', sqliteCode(code)]),

  ['too many logins in progress', 503, 120, async () => { throw tooManyAttempts() }],
  ['no room for another client', 503, 'operator', async () => { throw noRoom() }],
  ['a rate limit', 429, 60, async () => {
    const limits = new RateLimits({ secret: randomBytes(32), now: () => 0 })
    limits.countHere(['token', 'address', '192.0.2.1'], 0)
  }]
]

const TEXTS: Readonly<Record<number, string>> = {
  2: '2 seconds',
  5: '5 seconds',
  30: '30 seconds',
  60: '1 minute',
  120: '2 minutes'
}

for (const [name, status, told, fail] of ROWS) {
  t.test(`${name}: ${status}, ${told}`, async t => {
    const error: unknown = await fail(t).then(() => undefined, (error: unknown) => error)
    for (const [kind, plugin] of [['oauth', oauthErrors], ['mcp', mcpErrors], ['page', pages]] as const) {
      const logged: string[] = []
      const app = Fastify({ logger: { level: 'info', stream: { write: (line: string) => { logged.push(line) } } } })
      app.register(async scope => {
        if (plugin === mcpErrors) await scope.register(mcpErrors, { maxBodyBytes: 1000 })
        else await scope.register(plugin === pages ? pages : oauthErrors)
        scope.get('/', async () => { throw error })
      })
      const response = await app.inject('/')
      // a page carries no challenge
      t.equal(response.statusCode, kind === 'page' && status === 401 ? 400 : status, kind)
      t.equal(response.headers['retry-after'], typeof told === 'number' ? String(told) : undefined)
      const text = error instanceof Error ? error.message : ''
      t.ok(response.body.includes(text.slice(0, 20)), text)
      if (typeof told === 'number') t.match(text, ` Try again in ${TEXTS[told] ?? 'unknown'}.`)
      else t.notMatch(text, /again|moment|later|just now/)
      t.equal(ACTS.test(text), told === 'operator')
      t.equal(logged.some(line => line.includes('"level":50')), told === 'operator', 'an error for the operator')
      await app.close()
    }
  })
}
