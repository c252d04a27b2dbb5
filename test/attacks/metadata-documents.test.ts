import type { RequestListener } from 'node:http'
import t, { type Test } from 'tap'
import { createMemoryStores } from '../../src/stores/memory/stores.js'
import type { Stores } from '../../src/stores/stores.js'
import { ScriptableUpstream } from '../../src/testing/index.js'
import { listenFor } from '../support/service.js'
import { redisReplicas, redisTest } from '../support/redis-server.js'
import { clock } from '../support/clock.js'
import {
  authorizationUrl,
  newTokens,
  post,
  refresh,
  revoke,
  parseTokens,
  withOtherEnd,
  WEB_URI,
  type Client
} from '../support/oauth-flow.js'
import { embed, type Target } from '../support/target.js'

const KEYS = `1:${Buffer.alloc(32, 1).toString('base64url')}`
const DAY = 86_400

/** A host of metadata documents. */
async function documentHost (t: Test) {
  const good: RequestListener = (request, response) => {
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({
      client_id: `http://${request.headers.host}${request.url}`,
      client_name: 'By document',
      redirect_uris: [WEB_URI],
      grant_types: ['authorization_code', 'refresh_token']
    }))
  }
  const host = { asked: 0, answer: good, good, origin: '' }
  const port = await listenFor(t, (request, response) => {
    host.asked++
    host.answer(request, response)
  })
  host.origin = `http://127.0.0.1:${port}`
  return host
}

const service = (t: Test, stores?: Stores, upstream = new ScriptableUpstream()): Promise<Target> =>
  embed(
    t,
    { allowLoopbackClients: true, requestsPerMinute: 100_000, encryptionKeys: KEYS, ...stores && { stores } },
    upstream
  )
/** Two services that share stores, and an upstream. */
async function twoReplicas (t: Test): Promise<{ first: Target, second: Target }> {
  const [stores, upstream] = [createMemoryStores({ sessionIdleSeconds: 60 }), new ScriptableUpstream()]
  return { first: await service(t, stores, upstream), second: await service(t, stores, upstream) }
}

const clientOf = (origin: string, path = '/client.json'): Client => ({ clientId: origin + path, redirectUri: WEB_URI })
const open = async (target: Target, client: Client) => {
  const { pathname, search } = authorizationUrl(target, client)
  return await target.app.inject({ url: pathname + search })
}

t.test('outside of a browser nothing is fetched for who shows nothing of the client', async t => {
  const host = await documentHost(t)
  const time = clock(t)
  const target = await service(t)
  const honest = clientOf(host.origin)
  const { refreshToken } = await newTokens(target, honest)
  time.forward(3600)
  host.asked = 0
  const statuses = new Set<number>()
  for (let index = 0; index < 120; index++) {
    const client = clientOf(host.origin, index % 2 === 0 ? `/made-up/${index}` : '/client.json')
    const parameters = index % 3 === 0
      ? { grant_type: 'authorization_code', code: `mcpac_${String(index).padStart(43, 'A')}` }
      : {
          grant_type: 'refresh_token',
          refresh_token: index % 3 === 1 ? `mcprt_${String(index).padStart(43, 'A')}` : withOtherEnd(refreshToken)
        }
    statuses.add((await post(target, '/token', { ...parameters, client_id: client.clientId })).status)
    if (index % 10 === 5) statuses.add((await revoke(target, client, withOtherEnd(refreshToken))).status)
    if (index % 10 === 1) {
      statuses.add(
        (await post(target, '/introspect', { token: 'x', client_id: client.clientId, client_secret: 'x' })).status
      )
    }
  }
  t.strictSame([...statuses].sort(), [200, 400, 401])
  const byAnother = await refresh(target, clientOf(host.origin, '/another'), refreshToken)
  t.equal(byAnother.error, 'invalid_client', 'nor for another client\'s')
  t.equal(host.asked, 0)
  t.equal((await refresh(target, honest, refreshToken)).status, 200)
  t.equal(host.asked, 1, 'the honest client\'s is asked for, as it is not fresh')
})

t.test('many who ask at once are one request', async t => {
  const host = await documentHost(t)
  const target = await service(t)
  const answers = await Promise.all(Array.from({ length: 20 }, () => open(target, clientOf(host.origin))))
  t.ok(answers.every(({ statusCode }) => statusCode === 200))
  t.equal(host.asked, 1)
  host.answer = (_request, response) => response.writeHead(404).end()
  await Promise.all(Array.from({ length: 20 }, () => open(target, clientOf(host.origin, '/gone'))))
  for (let index = 0; index < 5; index++) t.equal((await open(target, clientOf(host.origin, '/gone'))).statusCode, 400)
  t.equal(host.asked, 2)
})

t.test('one address has so many documents fetched in a minute, and a client that is known is none of them', async t => {
  const host = await documentHost(t)
  const target = await service(t)
  t.equal((await open(target, clientOf(host.origin))).statusCode, 200)
  const statuses: number[] = []
  for (let index = 0; index < 70; index++) {
    statuses.push((await open(target, clientOf(host.origin, `/another/${index}`))).statusCode)
  }
  t.strictSame([statuses.filter(code => code === 200).length, statuses.filter(code => code === 429).length], [59, 11])
  t.equal(host.asked, 60)
  t.equal((await open(target, clientOf(host.origin))).statusCode, 200)
})

const status = (code: number, headers = {}): RequestListener => (_request, response) =>
  response.writeHead(code, headers).end('{}')
const body = (text: string, type = 'application/json'): RequestListener => (_request, response) =>
  response.writeHead(200, { 'content-type': type }).end(text)

const OUTAGES: Record<string, RequestListener> = {
  'status 500': status(500),
  'status 503': status(503, { 'retry-after': '1' }),
  'status 429': status(429),
  'status 403': status(403),
  'a redirect': status(302, { location: '/maintenance' }),
  'a page': body('<h1>Down for maintenance</h1>', 'text/html'),
  'broken JSON': body('{"client_id":'),
  'a body too large': body(`"${'x'.repeat(30_000)}"`),
  'a connection that breaks': request => request.socket.destroy()
}
const ENDS: Record<string, RequestListener> = {
  'status 404': status(404),
  'status 410': status(410),
  'another client_id': body(
    JSON.stringify({ client_id: 'https://other.example/x', client_name: 'x', redirect_uris: [WEB_URI] })
  ),
  'redirect URIs that cannot be': (request, response) =>
    body(
      JSON.stringify({
        client_id: `http://${request.headers.host}${request.url}`,
        client_name: 'x',
        redirect_uris: ['javascript:x']
      })
    )(request, response),
  'a secret': (request, response) =>
    body(
      JSON.stringify({
        client_id: `http://${request.headers.host}${request.url}`,
        client_name: 'x',
        redirect_uris: [WEB_URI],
        client_secret: 'x'
      })
    )(request, response)
}

t.test('a host that is down logs nobody out: the last good document is used for a day, on all replicas', async t => {
  const time = clock(t)
  const { first, second } = await twoReplicas(t)
  for (const [what, answer] of Object.entries(OUTAGES)) {
    await t.test(what, async t => {
      const host = await documentHost(t)
      const client = clientOf(host.origin)
      let tokens = await newTokens(first, client)
      host.answer = answer
      for (const hours of [1, 23]) {
        time.forward(hours * 3600)
        for (const target of [first, second]) {
          const refreshed = await refresh(target, client, tokens.refreshToken)
          t.equal(refreshed.status, 200, `after ${hours} hours more`)
          tokens = parseTokens(refreshed)
        }
      }
      t.equal((await open(first, client)).statusCode, 200, 'people log in, too')
      time.forward(2 * DAY)
      const over = await refresh(first, client, tokens.refreshToken)
      if (['status 403', 'a redirect', 'a page', 'broken JSON', 'a body too large'].includes(what)) {
        t.equal(over.error, 'invalid_client', 'a host that is up, and has no document')
      } else {
        t.strictSame([over.status, over.error, Number(over.headers.get('retry-after')) > 0], [
          503,
          'temporarily_unavailable',
          true
        ])
      }
      host.answer = host.good
      time.forward(60)
      t.equal(
        (await refresh(second, client, tokens.refreshToken)).status,
        200,
        'and when the host is back, all is well'
      )
    })
  }
})

t.test('a document that its host has withdrawn is withdrawn at once', async t => {
  const time = clock(t)
  const { first, second } = await twoReplicas(t)
  for (const [what, answer] of Object.entries(ENDS)) {
    await t.test(what, async t => {
      const host = await documentHost(t)
      const client = clientOf(host.origin)
      const { refreshToken } = await newTokens(first, client)
      host.answer = answer
      time.forward(3600)
      for (const target of [first, second]) {
        t.match((await refresh(target, client, refreshToken)).error, /^invalid_(client|redirect_uri)/)
      }
      host.answer = status(503)
      time.forward(60)
      t.equal((await refresh(first, client, refreshToken)).status, 503, 'nor does an outage bring it back')
    })
  }
})

t.test('a client that was never seen, by a host that is down, is an outage and no refusal', async t => {
  const host = await documentHost(t)
  const target = await service(t)
  host.answer = status(502)
  const page = await open(target, clientOf(host.origin))
  t.strictSame([page.statusCode, Number(page.headers['retry-after']) > 0], [503, true])
  t.match(page.headers['content-type'], /^text\/html/)
})

redisTest('the last good document is there for all replicas, and after a restart', async (t, server) => {
  const [a, b] = await redisReplicas(t, server)
  if (a === undefined || b === undefined) throw new Error('There is no replica.')
  const host = await documentHost(t)
  const client = clientOf(host.origin)
  const tokens = await newTokens(await service(t, a), client)
  host.answer = status(503)
  const asked = host.asked
  t.equal((await refresh(await service(t, b), client, tokens.refreshToken)).status, 200)
  t.equal(host.asked, asked, 'nobody had to be asked')
})
