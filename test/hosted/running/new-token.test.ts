import process from 'node:process'
import t, { type Test } from 'tap'
import { remoteServer } from '../../../src/hosted/remote/remote-server.js'
import type { RemoteServerOptions } from '../../../src/hosted/remote/options.js'
import { stdioServer } from '../../../src/hosted/stdio/stdio-server.js'
import type { StdioServerOptions } from '../../../src/hosted/stdio/options/options.js'
import type { CreateServer } from '../../../src/mcp/create-server.js'
import type { McpCounts } from '../../../src/mcp/observer.js'
import { getMember } from '../../../src/members.js'
import { parseObject, textAt } from '../../support/json.js'
import { startMcp, type McpService } from '../../support/mcp-harness.js'
import { event, ScriptedRemote, type Exchange } from '../remote/scripted-remote.js'
import { isAlive, plainServer, until } from '../stdio.js'
import { callers } from './callers.js'

/*
 * A person has a new access token of the login server, while their sessions go on: which one hosted servers get, for
 * each era in front.
 */
async function start (t: Test, createServer: CreateServer, instanceIdleSeconds = 60) {
  const tokens = { alice: 'first', bob: 'of-bob' }
  const counts: Array<() => McpCounts> = []
  const service = await startMcp(t, {
    createServer,
    limits: { instanceIdleSeconds },
    mcpObserver: { counts: read => { counts.push(read) } },
    getUpstreamAccessToken: async ({ extra }) => extra.subject === 'bob' ? tokens.bob : tokens.alice
  })
  const pause = async () => { await until(() => counts.every(read => read().instances === 0)) }
  return { service, tokens, pause }
}

const program = (options: Partial<StdioServerOptions> = {}) => stdioServer({
  command: process.execPath,
  args: [plainServer],
  // eslint-disable-next-line no-template-curly-in-string -- a template of the hosted program
  env: { TOKEN: '${upstreamAccessToken}' },
  limits: { graceSeconds: 0.5 },
  ...options
})

type Era = keyof typeof callers

/** What a program was started with, as a call finds it. */
async function begin (t: Test, era: Era, service: McpService, token = 'alice') {
  const caller = await callers[era]?.(t, service.url, token)
  return async () => {
    const response = await caller?.call('env', {})
    const { env, pid } = parseObject(textAt(getMember(response, 'result'), 'content', 0, 'text'))
    return { token: getMember(env, 'TOKEN'), pid: Number(pid) }
  }
}

for (const per of ['person', 'session'] as const) {
  for (const era of Object.keys(callers)) {
    const isModern = era === '2026-07-28'
    t.test(`a program per ${per}, ${era}`, async t => {
      const { service, tokens } = await start(t, program({ per }))
      const [call, callOfBob] = [await begin(t, era, service), await begin(t, era, service, 'bob')]
      const [first, bob] = [await call(), await callOfBob()]
      t.match([first.token, bob.token], ['first', 'of-bob'])
      tokens.alice = 'second'
      const next = await call()
      t.equal(next.token, isModern ? 'second' : 'first', isModern ? 'at once' : 'a session goes on as it is')
      const later = await (await begin(t, era, service))()
      t.equal(later.token, 'second', 'whoever begins gets the new one')
      t.not(later.pid, first.pid, 'by another process')
      t.same(await callOfBob(), bob, 'of others, nothing changes')
    })
  }
}

t.test('a session that is taken up again after a pause: a new process, and the old one ends', async t => {
  const { service, tokens, pause } = await start(t, program({ limits: { idleSeconds: 0.3 } }), 0.2)
  const call = await begin(t, 'session of 2025-11-25', service)
  const first = await call()
  tokens.alice = 'second'
  await pause()
  t.match(await call(), { token: 'second' })
  await until(() => !isAlive(first.pid))
})

t.test('per session, it keeps its process, and so its token', async t => {
  const { service, tokens, pause } = await start(t, program({ per: 'session' }), 0.2)
  const call = await begin(t, 'session of 2025-11-25', service)
  const first = await call()
  tokens.alice = 'second'
  await pause()
  t.same(await call(), first)
})

/** Serves HTTP+SSE, too: what is posted to /messages is answered on the stream. */
function answerOnStream () {
  const streams: Exchange[] = []
  return (exchange: Exchange): boolean => {
    const { verb, url, id, method, params, response } = exchange
    if (verb === 'GET' && url === '/sse') {
      exchange.stream(`event: endpoint\ndata: /messages/${streams.push(exchange) - 1}\n\n`)
      return true
    }
    if (!url.startsWith('/messages/')) return false
    response.writeHead(202).end()
    const serverInfo = { name: 'scripted', version: '1' }
    const result = method === 'initialize'
      ? { protocolVersion: getMember(params, 'protocolVersion'), capabilities: { tools: {} }, serverInfo }
      : { content: [] }
    if (id !== undefined) streams[Number(url.slice('/messages/'.length))]?.stream(event({ jsonrpc: '2.0', id, result }))
    return true
  }
}

const remotes: Record<string, (remote: ScriptedRemote) => RemoteServerOptions> = {
  'Streamable HTTP': ({ url }) => ({ url }),
  'HTTP+SSE': ({ origin }) => ({ url: `${origin}/sse`, transport: 'sse' })
}
for (const [kind, options] of Object.entries(remotes)) {
  for (const [era, connect] of Object.entries(callers)) {
    t.test(`a remote by ${kind}, ${era}: the next request has the new token`, async t => {
      const remote = await ScriptedRemote.start(t, answerOnStream())
      const { service, tokens } = await start(t, remoteServer({ ...options(remote), auth: 'upstream-token' }))
      const [alice, bob] = await Promise.all(['alice', 'bob'].map(token => connect(t, service.url, token)))
      await alice?.call('one', {})
      tokens.alice = 'second'
      await alice?.call('two', {})
      await bob?.call('three', {})
      t.same(remote.of('tools/call').map(({ headers, params }) => [getMember(params, 'name'), headers.authorization]), [
        ['one', 'Bearer first'], ['two', 'Bearer second'], ['three', 'Bearer of-bob']
      ])
    })
  }
}
