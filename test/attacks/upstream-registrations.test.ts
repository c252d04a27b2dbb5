import t from 'tap'
import { createMemoryStores } from '../../src/stores/memory/stores.js'
import { ScriptableUpstream } from '../../src/testing/index.js'
import {
  askToRegister,
  authorizationUrl,
  bearer,
  callMcp,
  form,
  isGood,
  newTokens,
  register,
  WEB_URI,
  type Client
} from '../support/oauth-flow.js'
import { agree, embed, injectForm, type Target } from '../support/target.js'

/*
 * With a login server that registers each client of ours, strangers must not have us register there by script: only a
 * person on their way there is a reason, there are so many in a minute, and the name is one that can be read.
 */

const PER_ADDRESS = 10
const PER_EVERYBODY = 120

/** Sends a new person on their way, from an address. @returns `upstream`, or what the client is told */
async function sendUpstream (target: Target, client: Client, remoteAddress: string) {
  const { pathname, search } = authorizationUrl(target, client)
  const page = await target.app.inject({ url: pathname + search, remoteAddress })
  const cookie = String(page.headers['set-cookie']).split(';')[0] ?? ''
  const transaction = /name="transaction" value="([^"]+)"/.exec(page.body)?.[1]
  const payload = form({ transaction, decision: 'allow' }).toString()
  const headers = { cookie, origin: target.url, 'content-type': 'application/x-www-form-urlencoded' }
  const { statusCode, headers: answered } = await target.app.inject({
    method: 'POST',
    url: '/authorize/consent',
    payload,
    headers,
    remoteAddress
  })
  if (statusCode !== 303) return statusCode
  const location = new URL(String(answered.location))
  return location.origin === target.upstream.issuer ? 'upstream' : location.searchParams.get('error')
}

const countOf = (ends: readonly unknown[], wanted: unknown) => ends.filter(end => end === wanted).length

/** Clients that are new. */
async function newClients (target: Target, count: number): Promise<Client[]> {
  return await Promise.all(Array.from({ length: count }, async (_, index) => {
    const answer = await target.app.inject({
      method: 'POST',
      url: '/register',
      remoteAddress: `203.0.113.${index % 200}`,
      payload: { client_name: `Client ${index}`, redirect_uris: [WEB_URI], token_endpoint_auth_method: 'none' }
    })
    return { clientId: String(answer.json<{ client_id: unknown }>().client_id), redirectUri: WEB_URI }
  }))
}

t.test('nothing but a person on their way makes a registration', async t => {
  const upstream = new ScriptableUpstream()
  const target = await embed(t, {}, upstream)
  const client = await register(target, WEB_URI)
  const { pathname, search } = authorizationUrl(target, client)
  for (let page = 0; page < 5; page++) await target.app.inject({ url: pathname + search })
  await askToRegister(target, { redirect_uris: [WEB_URI] })
  await callMcp(target, bearer('made-up'))
  await injectForm(target, '/token', { grant_type: 'authorization_code', code: 'x', client_id: client.clientId })
  await injectForm(target, '/authorize/consent', { transaction: 'made-up', decision: 'allow' }, { origin: target.url })
  await target.app.inject({ url: '/oauth/callback?state=made-up&code=x' })
  t.equal(upstream.asked('register').length, 0)
  await agree(target, client)
  await agree(target, client)
  t.equal(upstream.asked('register').length, 1, 'one client is one registration')
})

t.test('so many new ones of an address in a minute, and nobody whose client is known is held up', async t => {
  const upstream = new ScriptableUpstream()
  const target = await embed(t, { requestsPerMinute: 1000 }, upstream)
  const known = await register(target)
  const { accessToken } = await newTokens(target, known)
  const clients = await newClients(target, PER_ADDRESS + 5)
  const ends: unknown[] = []
  for (const client of clients) ends.push(await sendUpstream(target, client, '198.51.100.1'))
  t.strictSame(
    ends,
    [...Array<string>(PER_ADDRESS).fill('upstream'), ...Array<string>(5).fill('temporarily_unavailable')],
    'the client is told'
  )
  t.equal(upstream.asked('register').length, PER_ADDRESS + 1)
  t.equal(await sendUpstream(target, known, '198.51.100.1'), 'upstream', 'a client that is known goes on from there')
  const refused = clients.at(-1)
  if (refused === undefined) throw new Error('no client')
  t.equal(
    await sendUpstream(target, refused, '198.51.100.2'),
    'upstream',
    'and a person elsewhere with one that was refused'
  )
  t.ok(await isGood(target, accessToken))
})

t.test('so many of everybody, from whatever addresses', async t => {
  const upstream = new ScriptableUpstream()
  const target = await embed(t, { requestsPerMinute: 1000 }, upstream)
  const clients = await newClients(target, PER_EVERYBODY + 10)
  const ends = await Promise.all(
    clients.map(async (client, index) => await sendUpstream(target, client, `198.51.100.${index}`))
  )
  t.equal(countOf(ends, 'upstream'), PER_EVERYBODY)
  t.equal(countOf(ends, 'temporarily_unavailable'), 10)
  t.equal(upstream.asked('register').length, PER_EVERYBODY)
})

t.test('one network of IPv6 is one address', async t => {
  const upstream = new ScriptableUpstream()
  const target = await embed(t, { requestsPerMinute: 1000 }, upstream)
  const clients = await newClients(target, PER_ADDRESS + 5)
  for (const [index, client] of clients.entries()) await sendUpstream(target, client, `2001:db8::${index.toString(16)}`)
  t.equal(upstream.asked('register').length, PER_ADDRESS)
})

t.test('a name goes upstream as it can be read', async t => {
  const upstream = new ScriptableUpstream()
  const target = await embed(t, { requestsPerMinute: 1000 }, upstream)
  for (
    const [index, [name, sent]] of ([
      ['A\u202eB', 'AB'],
      ['A\u200bB\u2066', 'AB'],
      ['\u2028A\u2029', 'A'],
      ['A\u0085B\u009b31m', 'AB31m'],
      ['\ufeff\u00ad\u{e0041}A', 'A'],
      ['W'.repeat(200), 'W'.repeat(100)],
      ['😀'.repeat(100), '😀'.repeat(100)],
      ['Käse <b>"&', 'Käse <b>"&']
    ] as const).entries()
  ) {
    const answer = await askToRegister(target, {
      client_name: name,
      redirect_uris: [WEB_URI],
      token_endpoint_auth_method: 'none'
    })
    t.equal(answer.status, 201)
    await sendUpstream(
      target,
      { clientId: answer.member('client_id') ?? '', redirectUri: WEB_URI },
      `198.51.100.${index}`
    )
    t.equal(upstream.asked('register').at(-1)?.parameters.client_name, sent, encodeURIComponent(name).slice(0, 40))
  }
  for (const name of [undefined, '\u200b\u2800 ']) {
    const client = await register(target, WEB_URI, { client_name: name })
    await sendUpstream(target, client, '198.51.100.99')
    t.equal(
      upstream.asked('register').at(-1)?.parameters.client_name,
      client.clientId,
      'one without a name goes by its id'
    )
  }
  for (const name of ['A\u0000B', 'A\nB', 'A\u001b[31m', '\u007f', 'W'.repeat(201)]) {
    t.equal(
      (await askToRegister(target, { client_name: name, redirect_uris: [WEB_URI] })).status,
      400,
      `${encodeURIComponent(name).slice(0, 40)} is no name here`
    )
  }
})

t.test('a deletion that failed is tried again, until the login server has done it', async t => {
  let passed = 0
  const now = Date.now
  t.intercept(Date, 'now', { value: () => now() + passed })
  const housekeepers: Array<() => void> = []
  const every = setInterval
  t.intercept(globalThis, 'setInterval', {
    value: (callback: () => void, ms: number) => {
      if (ms === 60_000) housekeepers.push(callback)
      return every(callback, ms)
    }
  })
  const upstream = new ScriptableUpstream()
  const stores = createMemoryStores({ sessionIdleSeconds: 60 })
  const target = await embed(t, { stores, lifetimes: { unusedClientSeconds: 600 } }, upstream)
  await agree(target, await register(target, WEB_URI))
  t.equal(upstream.clients.size, 1)

  const answers = [500, 503, 403]
  upstream.overrides.registration = async (_request, usual) => {
    const status = answers.shift()
    return status === undefined ? await usual() : { status }
  }
  /** A minute's housekeeping, some time later. It is over when nothing more is asked. */
  const later = async (seconds: number) => {
    passed += seconds * 1000
    const before = upstream.asked('registration').length
    for (const keep of housekeepers) keep()
    for (let turns = 0; turns < 50; turns++) await new Promise(setImmediate)
    return upstream.asked('registration').length - before
  }
  t.equal(await later(0), 0, 'not before its time')
  for (let attempt = 1; attempt <= 3; attempt++) {
    t.equal(await later(20_000), 1, `attempt ${attempt}`)
    t.equal(upstream.clients.size, 1)
    t.equal(await later(1), 0, 'not at once again')
  }
  t.equal(await later(20_000), 1)
  t.equal(upstream.clients.size, 0, 'now it is gone')
  t.equal(await later(20_000), 0, 'and not asked for again')
})
