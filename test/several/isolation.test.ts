import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { CreateServer, ServerContext } from '../../src/mcp/create-server.js'
import { connect1, connect2, heardBy, type EraClient } from '../eras/era-clients.js'
import { EraPlug, eraServer1 } from '../eras/era-servers.js'
import { answerAll, parseAsked } from '../eras/input-required.js'
import { RawClient } from '../support/mcp-harness.js'
import {
  authorize,
  newCode,
  parseTokens,
  redeem,
  refresh,
  register,
  type Client,
  type Tokens
} from '../support/oauth-flow.js'
import { request } from '../support/raw-http.js'
import { redisTest } from '../support/redis-server.js'
import { NAMES, PATHS, startThree, type Name, type Servers } from './three-servers.js'

/*
 * Nothing of one server serves another, also for the same person and the same client.
 */
const KEY = `1:${'A'.repeat(43)}`
const URI = 'note://shared'

/** Three servers that are alike, and what each has seen. */
async function start (t: Test, environment: NodeJS.ProcessEnv, policy: object = {}, stateFile?: string) {
  const plugs = new Map<Name, EraPlug>()
  const contexts = new Map<Name, ServerContext>()
  const servers: Record<string, CreateServer> = {}
  for (const name of NAMES) {
    const plug = new EraPlug()
    plugs.set(name, plug)
    // its calls wait here; what those of SDK 2.x bring back is their own
    const create = eraServer1(plug)
    servers[name] = context => {
      contexts.set(name, context)
      return create(context)
    }
  }
  const service = await startThree(t, environment, { servers, policy, stateFile })
  const client = await register(service)
  const tokens = new Map<Name, Tokens>()
  for (const name of NAMES) tokens.set(name, await logInFor(service, client, name))
  const tokenOf = (name: Name) => tokens.get(name)?.accessToken ?? ''
  const runs = (name: Name) => plugs.get(name)?.runs.get('ask')
  return { service, client, tokens, tokenOf, contexts, runs }
}

async function logInFor (service: Servers, client: Client, name: Name): Promise<Tokens> {
  const resource = `${service.at(name)}/mcp`
  const code = await newCode(service, client, { resource, scope: name })
  return parseTokens(await redeem(service, client, code, { resource }))
}

const bearer = (token: string) => ({ requestInit: { headers: { authorization: `Bearer ${token}` } } })
const others = (name: Name) => NAMES.filter(other => other !== name)

type Started = Awaited<ReturnType<typeof start>>

async function checkSessions (t: Test, { service, tokenOf }: Started): Promise<void> {
  for (const name of NAMES) {
    const own = await new RawClient({ url: service.at(name) }, tokenOf(name)).connect()
    const stream = await fetch(`${service.at(name)}/sse`, {
      headers: { authorization: `Bearer ${tokenOf(name)}`, accept: 'text/event-stream' }
    })
    const reader = stream.body?.pipeThrough(new TextDecoderStream()).getReader()
    const messages = /data: (\S+)/.exec((await reader?.read())?.value ?? '')?.[1] ?? ''
    t.match(messages, `${service.at(name)}/messages?sessionId=`)
    for (const other of others(name)) {
      const foreign = own.at({ url: service.at(other) }, tokenOf(other))
      const headers = foreign.headers()
      for (const response of [
        await foreign.request('tools/list'),
        await foreign.get(),
        await fetch(`${service.at(other)}/mcp`, { method: 'DELETE', headers }),
        await fetch(messages.replace(PATHS[name], PATHS[other]), {
          method: 'POST',
          headers: { ...headers, 'content-type': 'application/json' },
          body: '{"jsonrpc":"2.0","method":"notifications/initialized"}'
        })
      ]) t.equal(response.status, 404, `a session of ${name} at ${other}`)
    }
    t.equal((await own.request('tools/list')).status, 200, `and it goes well at ${name}`)
    await reader?.cancel()
  }
}

async function checkRequestState (t: Test, { service, tokenOf, runs }: Started): Promise<void> {
  const ask = { name: 'ask', arguments: { message: 'Which?' } }
  for (const name of NAMES) {
    const asked = parseAsked((await request(service.at(name), 'tools/call', ask, { token: tokenOf(name) })).result)
    const answered = { ...ask, requestState: asked.requestState, inputResponses: answerAll(asked) }
    for (const other of others(name)) {
      const before = runs(other)
      const { error } = await request(service.at(other), 'tools/call', answered, { token: tokenOf(other) })
      t.match(error, { code: -32602 }, `the state of a call of ${name} at ${other}`)
      t.equal(runs(other), before, 'runs nothing')
    }
    const { result } = await request(service.at(name), 'tools/call', answered, { token: tokenOf(name) })
    t.match(JSON.stringify(result), 'blue', `and at ${name} it continues`)
  }
}

/** What a server announces, its own listeners are told, and nobody else. */
async function checkAnnouncements (t: Test, { service, tokenOf, contexts }: Started): Promise<void> {
  for (const era of ['legacy', 'modern'] as const) {
    const clients = new Map<Name, EraClient>()
    const heard: string[] = []
    for (const name of NAMES) {
      const client = era === 'legacy'
        ? await connect1(service.at(name), bearer(tokenOf(name)))
        : await connect2(service.at(name), { pin: '2026-07-28' }, bearer(tokenOf(name)))
      t.teardown(() => client.close())
      await client.listen(URI)
      client.heard.on('notifications/resources/updated', () => { heard.push(name) })
      clients.set(name, client)
    }
    const expected: string[] = []
    for (const [name, client] of clients) {
      // by the service, to everybody who listens; then by the SDK, to the person
      for (const announce of [
        async () => { contexts.get(name)?.announce({ kind: 'resource_updated', uri: URI }) },
        async () => { await client.call('announce', { uri: URI }) }
      ]) {
        const told = heardBy(client, 'notifications/resources/updated')
        await announce()
        await told
        expected.push(name)
      }
    }
    // each was told by its own server before the next one announced anything
    t.same(heard, expected, `${era}: in this order, and nothing else`)
  }
}

async function checkTokens (t: Test, { service, client, tokens }: Started): Promise<void> {
  for (const name of NAMES) {
    const resource = (of: Name) => `${service.at(of)}/mcp`
    const { refreshToken = '' } = tokens.get(name) ?? {}
    for (const other of others(name)) {
      t.match(await refresh(service, client, refreshToken, { resource: resource(other) }), {
        status: 400,
        error: 'invalid_target'
      }, `a refresh token of ${name} for ${other}`)
      const code = await newCode(service, client, { resource: resource(name), scope: name })
      t.match(await redeem(service, client, code, { resource: resource(other) }), { error: 'invalid_target' })
      const answer = await authorize(service, client, { parameters: { resource: resource(name), scope: other } })
      t.equal(answer.get('error'), 'invalid_scope', `a scope of ${other} for ${name}`)
    }
    const next = parseTokens(await refresh(service, client, refreshToken))
    const status = async (of: Name) =>
      (await request(service.at(of), 'tools/list', {}, { token: next.accessToken })).status
    t.equal(await status(name), 200, 'a refresh keeps the resource')
    for (const other of others(name)) {
      const response = await fetch(`${service.at(other)}/mcp`, {
        method: 'POST',
        headers: { authorization: `Bearer ${next.accessToken}` }
      })
      t.equal(response.status, 401, `its token at ${other}`)
    }
  }
  for (const resource of [undefined, service.url, `${service.url}/`, `${service.url}/mcp`, `${service.url}/notes`]) {
    const answer = await authorize(service, client, { parameters: { resource, scope: undefined } })
    t.equal(answer.get('error'), 'invalid_target', `the resource ${resource}`)
  }
}

async function checkLimits (t: Test, { service, tokenOf }: Started): Promise<void> {
  const call = async (name: Name) =>
    await request(service.at(name), 'tools/call', { name: 'plain', arguments: {} }, { token: tokenOf(name) })
  for (const name of NAMES) {
    t.match(await call(name), { result: { content: [{ text: 'plain' }] } }, `the first call of ${name}`)
    t.match(await call(name), { error: {} }, `the second call of ${name} in a minute`)
  }
}

const checks: ReadonlyArray<[string, (t: Test, started: Started) => Promise<void>, object?]> = [
  ['sessions', checkSessions],
  ['the state of calls that wait for input', checkRequestState],
  ['announcements', checkAnnouncements],
  ['tokens', checkTokens],
  ['counted calls', checkLimits, { limits: { calls_per_minute: 1 } }]
]

for (const [what, check, policy] of checks) {
  t.test(`${what}, in memory`, async t => { await check(t, await start(t, {}, policy)) })
  // the others: given-out.test.ts
  if (check === checkTokens || check === checkLimits) {
    t.test(`${what}, in SQLite`, async t => {
      const folder = await mkdtemp(join(tmpdir(), 'several-'))
      t.teardown(() => rm(folder, { recursive: true }))
      await check(t, await start(t, {}, policy, join(folder, 'state.sqlite')))
    })
  }
  redisTest(`${what}, in Redis`, async (t, server) => {
    await check(t, await start(t, { REDIS_URL: server.url, ENCRYPTION_KEYS: KEY }, policy))
  })
}

t.test('without sessions, what is kept by caller is apart', async t => {
  const ids = new Map<Name, string | undefined>()
  const servers = Object.fromEntries(NAMES.map((name): [string, CreateServer] => [name, async () => {
    const { McpServer } = await import('@modelcontextprotocol/sdk/server/mcp.js')
    const server = new McpServer({ name, version: '1.0.0' })
    server.registerTool('holder', {}, ({ sessionId }) => {
      ids.set(name, sessionId)
      return { content: [] }
    })
    return server
  }]))
  const service = await startThree(t, { SESSION_MODE: 'stateless' }, { servers, policy: {} })
  const client = await register(service)
  for (const name of NAMES) {
    const { accessToken } = await logInFor(service, client, name)
    const response = await new RawClient({ url: service.at(name) }, accessToken)
      .request('tools/call', { name: 'holder', arguments: {} })
    t.equal(response.status, 200)
  }
  t.equal(new Set(ids.values()).size, 3, 'one person by one client is three holders')
})
