import { setTimeout as delay } from 'node:timers/promises'
import pino from 'pino'
import t, { type Test } from 'tap'
import type { RemoteServerOptions } from '../../../src/hosted/remote/options.js'
import { remoteServer } from '../../../src/hosted/remote/remote-server.js'
import type { CreateServer } from '../../../src/mcp/create-server.js'
import type { McpTransportsOptions } from '../../../src/mcp/options.js'
import { RawClient, startMcp } from '../../support/mcp-harness.js'
import { listenFor } from '../../support/service.js'
import { lastMessage, ScriptedRemote, type Script } from './scripted-remote.js'

type FindToken = NonNullable<McpTransportsOptions['getUpstreamAccessToken']>

const call = async (client: RawClient, name = 'fine') => await lastMessage(await client.request('tools/call', { name }))
const fine = { result: { content: [{ text: 'fine' }] } }
const authorizations = (remote: ScriptedRemote, name = 'tools/call') =>
  remote.of(name).map(({ headers }) => headers.authorization)

/** What all tests log. */
const lines: string[] = []
const log = pino({ level: 'trace' }, { write: line => { lines.push(line) } })

async function start (
  t: Test,
  options: Omit<RemoteServerOptions, 'url'>,
  { script, getUpstreamAccessToken }: { script?: Script, getUpstreamAccessToken?: FindToken } = {}
) {
  const remote = await ScriptedRemote.start(t, script)
  const host = remoteServer({ url: remote.url, ...options })
  const createServer: CreateServer = Object.assign<CreateServer, Partial<CreateServer>>(context => host({
    era: context.era,
    get authInfo () { return context.authInfo },
    log,
    getUpstreamAccessToken: () => context.getUpstreamAccessToken(),
    announce () {}
  }), { close: async () => { await host.close?.() } })
  const service = await startMcp(t, { createServer, ...getUpstreamAccessToken && { getUpstreamAccessToken } })
  return { remote, service }
}

/** Refuses the first token that it gets, or all. */
const refuse = (isRefused: (token: string) => boolean): Script => ({ headers, response }) => {
  if (!isRefused(String(headers.authorization))) return false
  response.writeHead(401, { 'www-authenticate': 'Bearer error="invalid_token"' }).end()
  return true
}

t.test('nothing goes along if nothing is configured', async t => {
  const { remote, service } = await start(t, {}, { getUpstreamAccessToken: async () => 'upstream-of-alice' })
  t.match(await call(await new RawClient(service).connect()), fine)
  t.ok(remote.requests.every(({ headers }) => headers.authorization === undefined))
})

t.test('fixed headers', async t => {
  const { remote, service } = await start(t, { headers: { Authorization: 'Basic secret', 'X-Tenant': 'blue' } })
  t.match(await call(await new RawClient(service).connect()), fine)
  const sent = remote.requests.map(({ headers }) => [headers.authorization, headers['x-tenant']])
  t.ok(sent.every(([authorization, tenant]) => authorization === 'Basic secret' && tenant === 'blue'))
})

t.test('the person\'s upstream token', async t => {
  const getUpstreamAccessToken: FindToken = async ({ extra }) => `upstream-of-${extra.subject}`
  const { remote, service } = await start(t, { auth: 'upstream-token' }, { getUpstreamAccessToken })
  for (const token of ['alice', 'bob']) t.match(await call(await new RawClient(service, token).connect()), fine)
  t.same(authorizations(remote), ['Bearer upstream-of-alice', 'Bearer upstream-of-bob'])
  t.same(authorizations(remote, 'initialize'), ['Bearer upstream-of-alice', 'Bearer upstream-of-bob'])
})

t.test('a token that is refused: once more with a fresh one, if there is one', async t => {
  let count = 0
  const { remote, service } = await start(t, { auth: 'upstream-token' }, {
    script: refuse(token => token === 'Bearer upstream-of-1'),
    getUpstreamAccessToken: async () => `upstream-of-${++count}`
  })
  t.match(await call(await new RawClient(service).connect()), fine)
  t.same(authorizations(remote, 'initialize'), ['Bearer upstream-of-1', 'Bearer upstream-of-2'])
})

t.test('a token that is refused, and no other: an error, without a challenge', async t => {
  let isRefused = false
  const { remote, service } = await start(t, { auth: 'upstream-token' }, {
    script: refuse(() => isRefused),
    getUpstreamAccessToken: async () => 'upstream-of-alice'
  })
  const client = await new RawClient(service).connect()
  isRefused = true
  const response = await client.request('tools/call', { name: 'fine' })
  t.equal(response.status, 200)
  t.equal(response.headers.get('www-authenticate'), null)
  const { error } = await lastMessage(response)
  t.match(error, { code: -32000, message: /credentials of this service \(status 401\)/ })
  t.equal(remote.of('tools/call').length, 1)
})

t.test('no upstream token', async t => {
  for (const [getUpstreamAccessToken, says] of [
    [async () => undefined, /holds no access token/],
    [async () => { throw new Error('the login has ended') }, /login that it needs has ended/]
  ] as const) {
    const { remote, service } = await start(t, { auth: 'upstream-token' }, { getUpstreamAccessToken })
    const response = await new RawClient(service).request('initialize', {
      protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'test', version: '1' }
    })
    t.equal(response.status, 502)
    t.match(await lastMessage(response), { error: { message: says } })
    t.equal(remote.requests.length, 0)
  }
})

/** A token endpoint that exchanges; `lifetime` in seconds. */
async function startExchange (t: Test, lifetime: number | undefined = 3600) {
  const asked: Array<{ authorization: string | undefined, parameters: Record<string, string> }> = []
  let isFailing = false
  const port = await listenFor(t, (request, response) => {
    const answer = async () => {
      const posted: AsyncIterable<Uint8Array> = request
      const chunks: Uint8Array[] = []
      for await (const chunk of posted) chunks.push(chunk)
      const parameters = Object.fromEntries(new URLSearchParams(Buffer.concat(chunks).toString()))
      asked.push({ authorization: request.headers.authorization, parameters })
      await delay(20)
      response.writeHead(isFailing ? 400 : 200, { 'content-type': 'application/json' })
      response.end(JSON.stringify(isFailing
        ? { error: 'invalid_target' }
        : {
            access_token: `exchanged-${asked.length}-${parameters.subject_token}`,
            issued_token_type: 'urn:ietf:params:oauth:token-type:access_token',
            token_type: 'Bearer',
            expires_in: lifetime
          }))
    }
    answer().catch(() => { response.destroy() })
  })
  const auth = {
    tokenExchange: {
      tokenEndpoint: `http://127.0.0.1:${port}/token`,
      audience: 'https://calendar.example',
      clientId: 'gateway',
      clientSecret: 'secret',
      scope: 'read'
    }
  }
  return { asked, auth, fail: (isFailingNow: boolean) => { isFailing = isFailingNow } }
}

const getUpstreamAccessToken: FindToken = async ({ extra }) => `upstream-of-${extra.subject}`

t.test('a token by exchange', async t => {
  const { asked, auth } = await startExchange(t)
  const { remote, service } = await start(t, { auth }, { getUpstreamAccessToken })
  const clients = await Promise.all(['alice', 'alice', 'alice-elsewhere'].map(async token =>
    await new RawClient(service, token).connect()))
  for (const client of clients) t.match(await call(client), fine)
  t.equal(asked.length, 1, 'once for all calls of a person')
  t.same(asked[0], {
    authorization: `Basic ${Buffer.from('gateway:secret').toString('base64')}`,
    parameters: {
      grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
      subject_token: 'upstream-of-alice',
      subject_token_type: 'urn:ietf:params:oauth:token-type:access_token',
      audience: 'https://calendar.example',
      scope: 'read'
    }
  })
  t.match(await call(await new RawClient(service, 'bob').connect()), fine)
  t.same(asked.map(({ parameters }) => parameters.subject_token), ['upstream-of-alice', 'upstream-of-bob'])
  t.same(new Set(authorizations(remote)), new Set([
    'Bearer exchanged-1-upstream-of-alice', 'Bearer exchanged-2-upstream-of-bob'
  ]))
})

t.test('it is exchanged again shortly before it expires', async t => {
  const { asked, auth } = await startExchange(t, 1)
  const { service } = await start(t, { auth }, { getUpstreamAccessToken })
  const client = await new RawClient(service).connect()
  const before = asked.length
  await delay(800)
  t.match(await call(client), fine)
  t.equal(asked.length, before + 1)
})

t.test('it is exchanged again if the remote server refuses it', async t => {
  const { asked, auth } = await startExchange(t)
  const { remote, service } = await start(t, { auth }, {
    script: refuse(token => token.startsWith('Bearer exchanged-1-')), getUpstreamAccessToken
  })
  t.match(await call(await new RawClient(service).connect()), fine)
  t.equal(asked.length, 2)
  t.same(authorizations(remote), ['Bearer exchanged-2-upstream-of-alice'])
})

t.test('an exchange that fails', async t => {
  const { auth, fail } = await startExchange(t, 1)
  const { service } = await start(t, { auth }, { getUpstreamAccessToken })
  const client = await new RawClient(service).connect()
  fail(true)
  await delay(800)
  t.match(await call(client), { error: { message: /does not exchange the token/ } })
  fail(false)
  t.match(await call(client), fine, 'the next call tries again')
})

t.test('no token and no secret was logged', async t => {
  t.ok(lines.length > 5)
  t.notOk(/secret|upstream-of|exchanged-/.test(lines.join('')))
})
