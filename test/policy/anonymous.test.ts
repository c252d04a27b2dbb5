import Fastify, { type LightMyRequestResponse } from 'fastify'
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js'
import t, { type Test } from 'tap'
import { personKey } from '../../src/caller.js'
import { ServerFullError } from '../../src/errors.js'
import type { McpServiceOptions } from '../../src/index.js'
import { Admission } from '../../src/mcp/admission/admission.js'
import { makeAnonymousCaller } from '../../src/mcp/anonymous-callers.js'
import { defaultLimits } from '../../src/mcp/limits.js'
import { Policy } from '../../src/policy/policy.js'
import { mcpServiceParts } from '../../src/service/mcp-service.js'
import type { HostAuthModeOptions } from '../../src/service/plugin-options.js'
import { createMemoryStores } from '../../src/stores/memory/stores.js'
import { modernRequest } from '../../src/testing/modern-request.js'
import { callerOf, ISSUER } from '../attacks/eras.js'
import { initializeParams } from '../support/mcp-harness.js'

/*
 * Those who have no token: what they are to servers, whose their sessions are, and how much they may have.
 */
const URL_ = 'http://localhost:5050'
const METADATA = `${URL_}/.well-known/oauth-protected-resource/mcp`
const rules = { public: { tools: ['open'] }, scopes: { 'notes:write': { tools: ['scoped'] } } }

type Asked = { method: string, params?: Record<string, unknown>, id?: number }

async function makeApp (t: Test, options: Partial<HostAuthModeOptions> = {}) {
  const seen: unknown[][] = []
  const app = Fastify({ trustProxy: true })
  await app.register(mcpServiceParts, {
    publicUrl: URL_,
    createServer: ({ authInfo, getUpstreamAccessToken }) => {
      const server = new McpServer({ name: 'plug', version: '1' })
      for (const name of ['open', 'closed', 'scoped']) {
        server.registerTool(name, {}, async extra => {
          seen.push([name, extra.authInfo?.extra?.anonymous ?? false, authInfo.extra.subject, extra.authInfo?.scopes,
            await getUpstreamAccessToken()])
          return { content: [{ type: 'text', text: name }] }
        })
      }
      return server
    },
    stores: createMemoryStores({ sessionIdleSeconds: 60 }),
    policy: rules,
    auth: { mode: 'host', authorizationServers: [ISSUER], verifyAccessToken: callerOf },
    ...options
  } satisfies McpServiceOptions)
  app.get('/me', { onRequest: app.bearerAuth }, async request => ({ me: request.authInfo?.extra.subject }))
  t.teardown(() => app.close())
  const send = async (
    method: 'POST' | 'GET' | 'DELETE',
    headers: Record<string, string> = {},
    asked?: Asked | readonly Asked[]
  ): Promise<LightMyRequestResponse> =>
    await app.inject({
      method,
      url: '/mcp',
      headers: {
        host: 'localhost:5050',
        accept: method === 'GET' ? 'text/event-stream' : 'application/json, text/event-stream',
        ...headers
      },
      ...asked !== undefined && {
        payload: 'method' in asked
          ? { jsonrpc: '2.0', id: 7, ...asked }
          : asked.map((one, id) => ({ jsonrpc: '2.0', id, ...one }))
      }
    })
  const begin = async (headers: Record<string, string> = {}, version = '2025-11-25'): Promise<string> => {
    const response = await send('POST', headers, { method: 'initialize', params: initializeParams(version) })
    return String(response.headers['mcp-session-id'])
  }
  return { app, seen, send, begin }
}

const call = (name: string): Asked => ({ method: 'tools/call', params: { name, arguments: {} } })
const asAlice = { authorization: 'Bearer alice_mcp' }
const session = (id: string) => ({ 'mcp-session-id': id })

t.test('an anonymous session is nobody\'s, and a person\'s is not anonymous', async t => {
  const { send, begin, seen } = await makeApp(t)
  const [one, other, alices] = [await begin(), await begin(), await begin(asAlice)]
  const rows: Array<[string, 'POST' | 'GET' | 'DELETE', Record<string, string>, number]> = [
    ['with a token', 'POST', { ...session(one), ...asAlice }, 404],
    ['with a token, to listen', 'GET', { ...session(one), ...asAlice }, 404],
    ['with a token, to end it', 'DELETE', { ...session(one), ...asAlice }, 404],
    ['with a bad token', 'POST', { ...session(one), authorization: 'Bearer _' }, 401],
    ['with an empty token', 'POST', { ...session(one), authorization: 'Bearer ' }, 401],
    ['with an empty header', 'POST', { ...session(one), authorization: '' }, 401],
    ['with other credentials', 'POST', { ...session(one), authorization: 'Basic YTpi' }, 401],
    ['a person\'s, without a token', 'POST', session(alices), 401],
    ['a person\'s, without a token, to listen', 'GET', session(alices), 401],
    ['a person\'s, without a token, to end it', 'DELETE', session(alices), 401],
    ['a made-up one', 'POST', session('made-up'), 404],
    ['from another address', 'POST', { ...session(one), 'x-forwarded-for': '203.0.113.9' }, 200],
    ['the other one', 'POST', session(other), 200]
  ]
  for (const [what, method, headers, status] of rows) {
    const response = await send(method, headers, method === 'POST' ? call('open') : undefined)
    t.equal(response.statusCode, status, what)
    if (status === 401) t.match(response.headers['www-authenticate'], METADATA, `${what}: with a challenge`)
  }
  const subjects = seen.map(([, , subject]) => subject)
  t.equal(seen.length, 2, 'nothing else has run')
  t.not(subjects[0], subjects[1], 'two sessions are two callers to a server')
  t.match(seen[0], ['open', true, /^[\w-]{20,}$/, [], undefined], 'without scopes, or a token at the login server')
  t.equal((await send('DELETE', session(one))).statusCode, 200, 'its client ends it')
  t.equal((await send('POST', session(one), call('open'))).statusCode, 404, 'then it is over')
})

t.test('a session cannot be fixed by its id', async t => {
  const { send } = await makeApp(t)
  const response = await send('POST', session('chosen'), { method: 'initialize', params: initializeParams() })
  const id = String(response.headers['mcp-session-id'])
  t.equal(response.statusCode, 200)
  t.not(id, 'chosen')
  t.equal((await send('POST', session('chosen'), call('open'))).statusCode, 404)
  t.equal((await send('POST', session(id), call('open'))).statusCode, 200)
})

t.test('routes of the app demand a token', async t => {
  const { app } = await makeApp(t)
  t.equal((await app.inject('/me')).statusCode, 401)
  t.equal((await app.inject({ url: '/me', headers: asAlice })).statusCode, 200)
})

t.test('without anything public, nobody is let in before the body is read', async t => {
  const policy = new Policy({})
  const { send, begin } = await makeApp(t, { policy })
  const unreadable = { 'content-type': 'text/plain' }
  t.equal((await send('POST', unreadable, call('open'))).statusCode, 401)
  policy.replace({ public: { tools: ['open'] } })
  const id = await begin()
  t.equal((await send('POST', session(id), call('open'))).statusCode, 200, 'rules count at once')
  t.equal((await send('POST', unreadable, call('open'))).statusCode, 415)
  policy.replace({ public: { tools: ['!open'] } })
  t.equal((await send('POST', session(id), call('open'))).statusCode, 401, 'also when they take it back')
})

const CHALLENGE = (error: string, description: string, scope: string) => [
  `Bearer resource_metadata="${METADATA}", error="${error}", error_description="${description}", scope="${scope}"`
]
const LACKS = 'The access token lacks scopes that this call needs.'

t.test('ChatGPT learns of it in a result, byte by byte', async t => {
  const { send, begin, app } = await makeApp(t)
  const chatGpt = { 'user-agent': 'openai-mcp/1.0.0' }
  const result = (text: string, challenge: readonly string[], modern = false): string => JSON.stringify({
    jsonrpc: '2.0',
    id: 7,
    result: {
      ...modern && { resultType: 'complete' },
      content: [{ type: 'text', text }],
      _meta: { 'mcp/www_authenticate': challenge },
      isError: true
    }
  })
  const login = ['This needs a login.', CHALLENGE('invalid_token', 'This needs a login.', 'mcp')] as const
  const nobodys = { ...session(await begin()), ...chatGpt }
  const alices = { ...session(await begin(asAlice)), ...asAlice, ...chatGpt }
  const byLogin = await send('POST', nobodys, call('closed'))
  t.strictSame([byLogin.statusCode, byLogin.headers['www-authenticate'], byLogin.body], [
    200, undefined, result(...login)
  ])
  t.equal((await send('POST', nobodys, call('scoped'))).body,
    result(login[0], CHALLENGE('invalid_token', login[0], 'mcp notes:write')), 'with what it needs besides')
  t.equal((await send('POST', alices, call('scoped'))).body,
    result(LACKS, CHALLENGE('insufficient_scope', LACKS, 'mcp notes:write')), 'a step-up')
  t.equal((await send('POST', nobodys, { method: 'prompts/get', params: { name: 'x' } })).statusCode, 401,
    'what is not a tool has no such result')
  t.equal((await send('POST', { ...nobodys, authorization: 'Bearer _' }, call('open'))).statusCode, 401,
    'a bad token is a matter of HTTP')
  for (const [name, version] of [['of its info', '1.0.0'], ['of its header', '0']] as const) {
    const { body, headers } = modernRequest(7, 'tools/call', { name: 'closed', arguments: {} }, {
      'io.modelcontextprotocol/clientCapabilities': {},
      'io.modelcontextprotocol/clientInfo': { name: version === '0' ? 'x' : 'openai-mcp', version }
    })
    const response = await app.inject({
      method: 'POST',
      url: '/mcp',
      headers: { ...headers, host: 'localhost:5050', ...version === '0' && chatGpt },
      payload: body
    })
    t.strictSame([response.statusCode, response.body], [200, result(...login, true)], `2026-07-28, because ${name}`)
  }
})

t.test('AUTH_CHALLENGE says how others learn of it', async t => {
  for (const [authChallenge, agent, status] of [
    ['auto', 'claude', 401],
    ['auto', 'openai-mcp/1.0', 200],
    ['http', 'openai-mcp/1.0', 401],
    ['tool-result', 'claude', 200]
  ] as const) {
    const { send, begin } = await makeApp(t, { authChallenge })
    const headers = { ...session(await begin()), 'user-agent': agent }
    t.equal((await send('POST', headers, call('closed'))).statusCode, status, `${authChallenge}, ${agent}`)
    const id = await begin({}, '2025-03-26')
    const batch = await send('POST', { ...headers, ...session(id) }, [call('open'), call('closed')])
    t.equal(batch.statusCode, 401, 'a batch has no such result')
  }
  const { send } = await makeApp(t)
  const info = { ...initializeParams(), clientInfo: { name: 'openai-mcp', version: '1.0.0' } }
  const response = await send('POST', {}, { method: 'initialize', params: info })
  const id = String(response.headers['mcp-session-id'])
  t.equal((await send('POST', session(id), call('closed'))).statusCode, 200, 'a session knows its client')
})

t.test('anonymous callers are limited by address, and together', async t => {
  const from = (address: string) => ({ 'x-forwarded-for': address })
  const few = await makeApp(t, { limits: { toolCallsPerMinute: 2 } })
  const statuses: number[] = []
  for (let i = 0; i < 3; i++) {
    const id = await few.begin(from('203.0.113.1'))
    statuses.push((await few.send('POST', { ...session(id), ...from('203.0.113.1') }, call('open'))).statusCode)
  }
  t.strictSame(statuses, [200, 200, 429], 'new sessions do not evade a limit')
  const id = await few.begin(from('203.0.113.2'))
  t.equal((await few.send('POST', { ...session(id), ...from('203.0.113.2') }, call('open'))).statusCode, 200)

  const policy = { ...rules, limits: { callsPerMinute: 2 } }
  const limited = await makeApp(t, { policy })
  const answers: number[] = []
  for (let i = 0; i < 3; i++) {
    const id = await limited.begin(from('203.0.113.1'))
    answers.push((await limited.send('POST', { ...session(id), ...from('203.0.113.1') }, call('open'))).statusCode)
  }
  t.strictSame(answers, [200, 200, 429], 'nor one of the policy')

  const sessions = await makeApp(t, { limits: { maxSessionsPerPerson: 2 } })
  const ids = [await sessions.begin(), await sessions.begin(), await sessions.begin()]
  const left: number[] = []
  for (const id of ids) left.push((await sessions.send('POST', session(id), call('open'))).statusCode)
  t.strictSame(left, [404, 200, 200], 'one more session ends the oldest of the address')

  const large = await sessions.send('POST', {}, { method: 'tools/list', params: { filler: 'x'.repeat(300_000) } })
  t.equal(large.statusCode, 413, 'a body is smaller')
  const alices = await sessions.send('POST', { ...asAlice, ...session(await sessions.begin(asAlice)) }, {
    method: 'tools/list',
    params: { filler: 'x'.repeat(300_000) }
  })
  t.equal(alices.statusCode, 200, 'than that of somebody who has logged in')
})

t.test('all of them together have half, and people the rest', t => {
  const admission = new Admission({ ...defaultLimits, maxStreams: 4, maxRequestsInFlight: 4, maxLiveInstances: 4 })
  const nobody = (address: number) => personKey(makeAnonymousCaller(`203.0.113.${address}`).extra)
  const requests = [{ jsonrpc: '2.0' as const, id: 1, method: 'tools/list' }]
  const takes = {
    requests: (person: string) => { admission.takeRequests(person, requests) },
    streams: (person: string) => { admission.takeStream({ person, state: 'busy', giveWay () {} }) },
    instances: (person: string) => { admission.takeInstance({ person, state: 'busy', giveWay () {} }) }
  }
  for (const [what, take] of Object.entries(takes)) {
    take(nobody(1))
    take(nobody(2))
    t.throws(() => { take(nobody(3)) }, ServerFullError, `${what}: a third address has to wait`)
    take('alice')
    t.doesNotThrow(() => { take('bob') }, `${what}: people do not`)
  }
  const gone: string[] = []
  const idle = new Admission({ ...defaultLimits, maxLiveInstances: 4 })
  for (const address of [1, 2, 3]) {
    const giveWay = () => { gone.push(`of ${address}`) }
    idle.takeInstance({ person: nobody(address), state: 'idle', giveWay })
  }
  t.strictSame([gone, idle.held.instances], [['of 1'], 2], 'what is idle makes room among them')
  t.end()
})
