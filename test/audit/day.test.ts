import { randomBytes } from 'node:crypto'
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { Ajv } from 'ajv'
import t, { type Test } from 'tap'
import { AUDIT_ACTIONS, AuditEventSchema, type AuditEvent } from '../../src/audit/event.js'
import { run as runAudit } from '../../src/cli/audit.js'
import { parseRecord } from '../../src/parse-record.js'
import { Secrets } from '../operations/secrets.js'
import { valueAt } from '../support/json.js'
import { RawClient } from '../support/mcp-harness.js'
import {
  askToRegister, authorizationUrl, bearer, callMcp, newCode, newTokens, openBrowser, parseTokens, post, redeem, refresh,
  register, revoke, type Client
} from '../support/oauth-flow.js'
import { request } from '../support/raw-http.js'
import { runService, type Service } from '../support/service.js'
import { SseClient } from '../support/sse-client.js'

const KEY = `one:${randomBytes(32).toString('base64url')}`
const MADE_UP_TRACE = '4bf92f3577b34da6a3ce929d0e0e4736'
const ARGUMENT = '271828182845'
const HUGE = 'x'.repeat(100_000)
const NEWLINES = 'evil\n{"event":{"action":"login"}}\r\u2028\u0007'

const add = (id: number) =>
  ({ jsonrpc: '2.0', id, method: 'tools/call', params: { name: 'add', arguments: { l: Number(ARGUMENT), r: 2 } } })

/** Logs in well and badly, and ends logins in every way. */
async function logIns (service: Service, client: Client): Promise<void> {
  await askToRegister(service, { client_name: NEWLINES + HUGE, redirect_uris: ['https://app.example/callback'] })
  await askToRegister(service, { client_name: 'Named', redirect_uris: ['javascript:alert(1)'] })
  await openBrowser(service).open(authorizationUrl(service, { ...client, clientId: 'nobody-knows' }))
  const browser = openBrowser(service)
  await browser.submit(await browser.open(authorizationUrl(service, client)), {}, 'Deny')
  const used = await newCode(service, client)
  const first = parseTokens(await redeem(service, client, used))
  await redeem(service, client, used)
  t.equal((await callMcp(service, bearer(first.accessToken))).status, 401, 'a replay ends the grant')
  await redeem(service, client, await newCode(service, client), { code_verifier: 'wrong'.repeat(10) })
  const second = await newTokens(service, client)
  const third = parseTokens(await refresh(service, client, second.refreshToken))
  await refresh(service, client, second.refreshToken)
  await revoke(service, client, third.accessToken)
  const misplaced = { grant_type: 'authorization_code', code: 'x', client_id: 'mcpat_secretinthewrongplace1' }
  await post(service, '/token', misplaced)
  await callMcp(service, {})
  await callMcp(service, bearer('mcpat_unknown'))
}

/** Calls in sessions, alone and in batches. */
async function callInSessions (service: Service, token: string): Promise<void> {
  const traced = { traceparent: `00-${MADE_UP_TRACE}-00f067aa0ba902b7-01` }
  const mcp = await new RawClient(service, token).connect()
  await (await mcp.post(add(10), traced)).text()
  for (const [name, input] of [['divide', { l: 1, r: 0 }], [NEWLINES, {}], [HUGE, {}]] as const) {
    await (await mcp.request('tools/call', { name, arguments: input })).text()
  }
  await (await mcp.request('resources/read', { uri: 'about://server?token=hidden-in-a-query' })).text()
  await (await mcp.request('prompts/get', { name: 'greet', arguments: { name: 'Bob' } })).text()
  await (await mcp.post({ jsonrpc: '2.0', id: HUGE, method: NEWLINES })).text()
  const running = mcp.post({
    jsonrpc: '2.0', id: 'long', method: 'tools/call', params: { name: 'countdown', arguments: { from: 1000 } }
  })
  await delay(50)
  await mcp.notify('notifications/cancelled', { requestId: 'long' })
  await (await running).text()
  const batching = await new RawClient(service, token).connect('2025-03-26')
  await (await batching.post([add(20), add(21)])).text()
  await (await mcp.post('no JSON')).text()
  await (await mcp.post(add(1), { 'mcp-session-id': 'of-somebody-else' })).text()
}

async function callElsewhere (t: Test, service: Service, token: string): Promise<void> {
  await request(service.url, 'tools/call', { name: 'add', arguments: { l: Number(ARGUMENT), r: 4 } }, { token })
  await request(service.url, 'tools/call', { name: 'nothing' }, { token })
  await request(service.url, 'server/discover', {}, { token })
  const sse = await SseClient.open(t, service, token)
  await sse.initialize(service)
  await sse.say(service, add(30))
  await sse.response(30)
  sse.close()
}

interface Day { folder: string, events: AuditEvent[], text: string, secrets: Secrets }

async function live (t: Test, environment: Record<string, string> = {}): Promise<Day> {
  const folder = t.testdir({})
  const secrets = new Secrets()
  t.intercept(globalThis, 'fetch', { value: secrets.watch(fetch) })
  secrets.add('argument', ARGUMENT)
  secrets.add('key', KEY.slice(4))
  const service = await runService({
    ENCRYPTION_KEYS: KEY,
    AUDIT_LOG: `file:${join(folder, 'audit.jsonl')}`,
    AUDIT_FILE_MAX_BYTES: '20000',
    AUDIT_ARGUMENTS: 'greet.name, divide.l:hash',
    RATE_LIMIT_TOOL_CALLS_PER_MINUTE: '60',
    ...environment
  })
  try {
    const client = await register(service)
    await logIns(service, client)
    const { accessToken } = await newTokens(service, client)
    if (environment.SESSION_MODE === 'stateless') {
      await (await new RawClient(service, accessToken).post(add(40), { 'mcp-protocol-version': '2025-11-25' })).text()
    } else {
      await callInSessions(service, accessToken)
      await callElsewhere(t, service, accessToken)
      const limited = await new RawClient(service, accessToken).connect()
      for (let number = 0; number < 61; number++) await (await limited.post(add(100 + number))).text()
    }
  } finally {
    await service.close()
  }
  const names = (await readdir(folder)).filter(name => name.startsWith('audit')).sort()
  const texts = await Promise.all(names.map(name => readFile(join(folder, name), 'utf8')))
  const text = texts.join('')
  const events = text.trimEnd().split('\n').map(line => parseRecord<AuditEvent>(line))
  return { folder, secrets, text, events: events.toSorted((a, b) => a.audit.sequence - b.audit.sequence) }
}

/** What the command says of all files of a folder. */
async function verify (folder: string, keys = KEY): Promise<{ code: number, said: string }> {
  const names = (await readdir(folder)).filter(name => name.startsWith('audit'))
  let said = ''
  const code = await runAudit(['verify', ...names.map(name => join(folder, name))], {
    env: { ENCRYPTION_KEYS: keys },
    write: text => { said += text }
  })
  return { code, said }
}

const validate = new Ajv({ allErrors: true, formats: { 'date-time': true } }).compile(AuditEventSchema)

function checkEvents (t: Test, { events, text, secrets }: Day): void {
  const invalid = events.filter(event => !validate(event))
  t.strictSame(invalid, [], 'every event is valid')
  t.strictSame(secrets.in(text), [], 'no secret')
  t.notMatch(text, /hidden-in-a-query|secretinthewrongplace|Authorization/)
  t.ok(text.split('\n').every(line => line.length < 4000), 'bounded')
  t.notMatch(text, /[\u2028\r]/)
}

const count = (events: readonly AuditEvent[], action: string, more: (event: AuditEvent) => boolean = () => true) =>
  events.filter(event => event.event.action === action && more(event)).length
const isGood = ({ event }: AuditEvent) => event.outcome === 'success'

t.test('a recorded day', async t => {
  const day = await live(t)
  const { events } = day
  checkEvents(t, day)
  t.strictSame(await verify(day.folder).then(({ code }) => code), 0)
  const shown = new Set(events.map(({ event }) => event.action))
  const elsewhere = ['audit-resumed', 'request-begun', 'call-begun', 'upstream-refresh', 'refusals-left-out']
  t.strictSame(AUDIT_ACTIONS.filter(action => !shown.has(action) && !elsewhere.includes(action)), [], 'every kind')
  for (const [action, good, bad] of [
    ['client-registration', 1, 1], ['authorization-request', 1, 1], ['consent', 1, 1], ['login', 1, 0],
    ['token-issue', 1, 2], ['token-refresh', 2, 0], ['grant-created', 1, 0], ['grant-ended', 2, 0], ['call', 9, 3],
    ['request-refused', 0, 3]
  ] as const) {
    t.ok(count(events, action, isGood) >= good, `${action}: good`)
    t.ok(count(events, action, event => !isGood(event)) >= bad, `${action}: bad`)
  }
  const ends = events.filter(({ event }) => event.action === 'grant-ended').map(({ event }) => event.reason)
  t.ok(ends.includes('replayed') && ends.includes('revoked'))
})

t.test('a call says who, by what, where, and how it ended', async t => {
  const { events } = await live(t)
  const calls = events.filter(({ event }) => event.action === 'call')
  const of = (id: string) => calls.find(({ mcp }) => mcp?.request?.id === id)
  t.match(of('10'), {
    event: { outcome: 'success', reason: 'ok', duration: Number },
    user: { id: 'alice', domain: /^http/ },
    oauth: { client: { id: /^mcpc_/ }, grant: { id: /^mcpg_/ } },
    client: { ip: '127.0.0.1' },
    http: { request: { id: String, body: { bytes: Number } }, response: { body: { bytes: Number } } },
    trace: { id: MADE_UP_TRACE },
    mcp: { era: 'legacy', method: { name: 'tools/call' }, session: { id: String } },
    gen_ai: { tool: { name: 'add' } }
  })
  t.equal(of('10')?.http?.request?.body?.bytes, JSON.stringify(add(10)).length)
  const outcomes = new Set(calls.map(({ event }) => event.reason))
  for (const outcome of ['ok', 'tool_error', 'error', 'cancelled']) t.ok(outcomes.has(outcome), outcome)
  t.match(of('30'), { mcp: { era: 'legacy', session: { id: String } }, user: { id: 'alice' } }, 'HTTP+SSE')
  t.match(of('21'), { event: { outcome: 'success' }, mcp: { protocol: { version: '2025-03-26' } } }, 'a batch')
  const modern = calls.filter(({ mcp }) => mcp?.era === 'modern')
  t.match(modern[0], { user: { id: 'alice' }, gen_ai: { tool: { name: 'add' } }, http: { request: { id: String } } })
  const greeted = calls.find(({ gen_ai: target }) => target?.prompt?.name === 'greet')
  t.strictSame(greeted?.mcp?.arguments, [{ name: 'name', value: '"Bob"' }], 'the argument that is named')
  const divided = calls.find(({ gen_ai: target }) => target?.tool?.name === 'divide')
  t.match(divided?.mcp?.arguments, [{ name: 'l', hmac: /^[0-9a-f]{64}$/ }])
  t.equal(valueAt(divided, 'mcp', 'arguments', '1'), undefined)
  t.match(calls.find(({ mcp }) => mcp?.resource !== undefined), { mcp: { resource: { uri: 'about://server' } } })
  const limits = events.filter(({ event }) => event.reason === 'too_many_requests')
  t.match(limits[0], { event: { action: 'call-refused' }, user: { id: 'alice' }, gen_ai: { tool: { name: 'add' } } })
  t.equal(new Set(events.map(({ audit }) => audit.chain)).size, 1)
})

t.test('without sessions, and with AUDIT_REQUIRED: what happens is written before', async t => {
  const day = await live(t, { SESSION_MODE: 'stateless', AUDIT_REQUIRED: 'true', AUDIT_FSYNC: 'true' })
  checkEvents(t, day)
  const at = (action: string) => day.events.findIndex(({ event }) => event.action === action)
  t.ok(at('call-begun') > 0 && at('call-begun') < at('call'))
  t.ok(at('request-begun') > 0 && at('request-begun') < at('token-issue'))
  t.match(day.events[at('call')], { user: { id: 'alice' }, mcp: { era: 'legacy', session: undefined } })
})

t.test('one event altered is found by the command, and so is another key', async t => {
  const { folder, events } = await live(t, { AUDIT_FILE_MAX_BYTES: '100000000', SESSION_MODE: 'stateless' })
  const path = join(folder, 'audit.jsonl')
  const text = await readFile(path, 'utf8')
  const fits = new RegExp(`^${events.length} events, from .* to [^]*Everything fits`)
  t.match(await verify(folder), { code: 0, said: fits })
  const other = `one:${randomBytes(32).toString('base64url')}`
  t.match(await verify(folder, other), { code: 1, said: /DOES NOT FIT: .*, line 1: this event needs the key/ })
  await writeFile(path, text.replace('"outcome":"failure"', '"outcome":"success"'))
  t.match(await verify(folder), { code: 1, said: /DOES NOT FIT: .*audit\.jsonl, line \d+: this event was altered/ })
})
