import t from 'tap'
import { MemoryRegistrationStore } from '../../src/stores/memory/registrations.js'
import { createMemoryStores } from '../../src/stores/memory/stores.js'
import type { ClientRecord } from '../../src/stores/registrations.js'
import { textAt } from '../support/json.js'
import {
  ask,
  askToRegister,
  authorizationUrl,
  isGood,
  newTokens,
  post,
  refresh,
  register,
  revoke,
  WEB_URI
} from '../support/oauth-flow.js'
import { embed, type Target } from '../support/target.js'

const METADATA = { redirect_uris: [WEB_URI], token_endpoint_auth_method: 'none' }

/** A registration from another address than the test's. */
async function registerFrom (
  { app }: Target,
  remoteAddress: string,
  metadata: object = METADATA,
  headers: Record<string, string> = {}
) {
  return await app.inject({ method: 'POST', url: '/register', remoteAddress, payload: metadata, headers })
}

t.test('a flood is stopped, in terms of OAuth, and stops nobody else', async t => {
  const target = await embed(t, { requestsPerMinute: 8 })
  const client = await register(target)
  const tokens = await newTokens(target, client)
  for (let registrations = 1; registrations < 8; registrations++) {
    t.equal((await askToRegister(target, METADATA)).status, 201)
  }
  const answer = await askToRegister(target, METADATA)
  t.equal(answer.status, 429)
  t.equal(answer.error, 'rate_limited')
  t.ok(answer.member('error_description'))
  t.equal(answer.headers.get('cache-control'), 'no-store')
  const seconds = Number(answer.headers.get('retry-after'))
  t.ok(seconds >= 1 && seconds <= 60, `Retry-After: ${seconds}`)

  for (
    const [what, metadata, headers] of [
      ['a client_id of its own making', { ...METADATA, client_id: 'mcpc_made-up' }, {}],
      ['a client_id of the right form', { ...METADATA, client_id: `mcpc_${'A'.repeat(43)}` }, {}],
      ['the client_id of another client', { ...METADATA, client_id: client.clientId }, {}],
      ['another address, by its own word', METADATA, {
        'x-forwarded-for': '198.51.100.1',
        forwarded: 'for=198.51.100.1'
      }],
      ['a body that is refused', { redirect_uris: [] }, {}]
    ] as const
  ) {
    t.equal((await registerFrom(target, '127.0.0.1', metadata, headers)).statusCode, 429, `nor with ${what}`)
  }
  t.equal(
    (await target.app.inject({
      method: 'POST',
      url: `/register?client_id=mcpc_${'B'.repeat(43)}`,
      remoteAddress: '127.0.0.1',
      payload: METADATA
    })).statusCode,
    429,
    'nor with one in the query'
  )

  t.equal((await registerFrom(target, '198.51.100.1')).statusCode, 201, 'somebody else registers')
  t.ok(await isGood(target, tokens.accessToken), 'the MCP endpoint goes on')
  t.equal((await ask(target, authorizationUrl(target, client))).status, 200, 'people log in')
  t.equal((await refresh(target, client, tokens.refreshToken)).status, 200, 'clients refresh')
  t.equal(
    (await ask(target, `${target.url}/.well-known/oauth-authorization-server`)).status,
    200,
    'the metadata is there'
  )
  t.equal((await revoke(target, client, 'x')).status, 200)
})

t.test('made-up client ids get nobody a limit of their own', async t => {
  const target = await embed(t, { requestsPerMinute: 8 })
  const client = await register(target)
  const tokens = await newTokens(target, client)
  // each of these would be a request of ours to wherever the attacker says
  const statuses: number[] = []
  for (let attempt = 0; attempt < 10; attempt++) {
    statuses.push(
      (await post(target, '/token', {
        grant_type: 'authorization_code',
        code: 'x',
        client_id: `https://10.0.0.${attempt}/client.json`
      })).status
    )
  }
  t.strictSame(statuses, [...Array<number>(8).fill(401), 429, 429], 'by the URL of a document')
  const pages: number[] = []
  for (let attempt = 0; attempt < 10; attempt++) {
    pages.push(
      (await ask(
        target,
        authorizationUrl(target, { clientId: `https://10.0.0.${attempt}/client.json`, redirectUri: WEB_URI })
      )).status
    )
  }
  t.strictSame(pages, [...Array<number>(7).fill(400), 429, 429, 429], 'the login of the honest client was one')
  t.equal((await refresh(target, client, tokens.refreshToken)).status, 200, 'a client at the same address goes on')
  const { pathname, search } = authorizationUrl(target, client)
  t.equal(
    (await target.app.inject({ url: pathname + search, remoteAddress: '198.51.100.1' })).statusCode,
    200,
    'and people elsewhere log in'
  )
})

t.test('whatever comes, the store stays bounded, and who was logged in to stays', async t => {
  const clients = new MemoryRegistrationStore<ClientRecord>({ maxRegistrations: 4 })
  const target = await embed(t, { stores: { ...createMemoryStores({ sessionIdleSeconds: 60 }), clients } })
  const used = await register(target)
  const tokens = await newTokens(target, used)
  const flood: string[] = []
  for (let registrations = 0; registrations < 20; registrations++) {
    const answer = await registerFrom(target, `198.51.100.${registrations}`)
    t.equal(answer.statusCode, 201)
    flood.push(textAt(answer.json(), 'client_id'))
  }
  const found = await Promise.all(flood.map(clientId => clients.find(clientId)))
  t.strictSame(
    found.map(record => record !== undefined),
    [...Array<boolean>(17).fill(false), true, true, true],
    'the newest remain'
  )
  t.ok(await isGood(target, tokens.accessToken))
  const next = await refresh(target, used, tokens.refreshToken)
  t.equal(next.status, 200, 'the client that somebody logged in to is never evicted')

  // each of the rest is logged in to, too: there is no room left
  const late = await Promise.all(
    flood.slice(-3).map(async clientId => await newTokens(target, { clientId, redirectUri: WEB_URI }))
  )
  const full = await registerFrom(target, '198.51.100.99')
  t.equal(full.statusCode, 503)
  t.match(full.json(), { error: 'temporarily_unavailable' })
  t.equal(full.headers['retry-after'], undefined, 'room comes when the operator acts')
  for (const { accessToken } of [tokens, ...late]) {
    t.ok(await isGood(target, accessToken), 'and nobody is put out for it')
  }
})

t.test('the size of a registration is limited', async t => {
  const target = await embed(t)
  for (
    const metadata of [
      { ...METADATA, client_name: 'x'.repeat(100_000) },
      { ...METADATA, redirect_uris: Array(11).fill(WEB_URI) },
      { ...METADATA, redirect_uris: [`${WEB_URI}?${'x'.repeat(3000)}`] },
      {
        ...METADATA,
        redirect_uris: Array.from({ length: 10 }, (_, index) => `${WEB_URI}/${index}?${'x'.repeat(850)}`)
      },
      {
        ...METADATA,
        client_uri: `${WEB_URI}?${'x'.repeat(2000)}`,
        logo_uri: `${WEB_URI}?${'x'.repeat(2000)}`,
        tos_uri: `${WEB_URI}?${'x'.repeat(2000)}`,
        policy_uri: `${WEB_URI}?${'x'.repeat(2000)}`,
        scope: 'x'.repeat(1000)
      }
    ]
  ) t.ok([400, 413].includes((await askToRegister(target, metadata)).status))
  const extra = await askToRegister(target, {
    ...METADATA,
    contacts: Array(21).fill('x'),
    client_uri: `${WEB_URI}?${'x'.repeat(10_000)}`,
    unknown: 'x'.repeat(10_000),
    jwks: { keys: Array(100).fill({}) },
    software_statement: 'x'.repeat(10_000)
  })
  t.equal(extra.status, 201)
  t.ok(extra.text.length < 1000, 'what is not known is not kept')
})
