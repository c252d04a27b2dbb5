import process from 'node:process'
import { CLIENT_CAPABILITIES_META_KEY, CLIENT_INFO_META_KEY } from '@modelcontextprotocol/server'
import t, { type Test } from 'tap'
import { stdioServer } from '../../src/hosted/stdio/stdio-server.js'
import type { CreateServer } from '../../src/mcp/create-server.js'
import { modernRequest } from '../../src/testing/modern-request.js'
import { initializeParams, RawClient, startMcp, type McpService } from '../support/mcp-harness.js'
import { SseClient } from '../support/sse-client.js'
import { callTool, plainServer } from './stdio.js'

/*
 * At a limit of processes, a client gets the status of a limit, in every era, alone and in a batch; once there is room,
 * the same request is served.
 */
interface Setting {
  sessions: McpService
  sessionless: McpService
}

const PID = { method: 'tools/call', params: { name: 'pid', arguments: {} } }
const OLD = '2025-03-26'
const alone = { jsonrpc: '2.0', id: 'one', ...PID }
const batch = [alone, { ...alone, id: 'two' }]

/** A client that needs a process of its own. */
async function begin (service: McpService, token: string, capabilities = {}, revision = OLD): Promise<RawClient> {
  return await new RawClient(service, token).connect(revision, capabilities)
}

const eras: Record<string, (setting: Setting) => () => Promise<Response>> = {
  'the start of a session': ({ sessions }) => () =>
    new RawClient(sessions).post({ jsonrpc: '2.0', id: 'one', method: 'initialize', params: initializeParams() }),
  'without sessions': ({ sessionless }) => () => new RawClient(sessionless).post(alone),
  'without sessions, initialize': ({ sessionless }) => () =>
    new RawClient(sessionless).post({ jsonrpc: '2.0', id: 'one', method: 'initialize', params: initializeParams() }),
  'without sessions, a batch': ({ sessionless }) => () => new RawClient(sessionless).post(batch),
  '2026-07-28': ({ sessions }) => async () => {
    const { headers, ...request } = modernRequest(1, PID.method, PID.params, {
      [CLIENT_INFO_META_KEY]: { name: 'raw', version: '1' }, [CLIENT_CAPABILITIES_META_KEY]: {}
    })
    const all = { ...headers, authorization: 'Bearer alice' }
    return await fetch(`${sessions.url}/mcp`, { ...request, headers: all })
  }
}

const limits = {
  'one person may have': { limits: { maxProcessesPerPerson: 1 }, status: 429, holder: 'alice' },
  'there may be': { limits: { maxProcesses: 1 }, status: 503, holder: 'bob' }
} as const

async function checkRefusal (t: Test, response: Response, status: number, isBatch: boolean): Promise<void> {
  const body: unknown = JSON.parse(await response.text())
  t.equal(response.status, status, JSON.stringify(body))
  t.equal(response.headers.get('retry-after'), '1')
  const error = { code: -32000, data: { limit: 'hosted_processes', retryAfterMs: 1000 } }
  if (isBatch) t.match(body, [{ id: 'one', error }, { id: 'two', error }])
  else t.match(body, { id: /^(one|1)$/, error })
}

async function start (t: Test, options: Partial<Parameters<typeof stdioServer>[0]>): Promise<Setting> {
  const createServer: CreateServer = stdioServer({
    command: process.execPath,
    args: [plainServer],
    ...options,
    limits: { graceSeconds: 0.5, ...options.limits }
  })
  return {
    sessions: await startMcp(t, { createServer }),
    sessionless: await startMcp(t, { createServer, sessionMode: 'stateless' })
  }
}

for (const per of ['person', 'session', 'shared'] as const) {
  for (const [whose, { limits: bounds, status, holder }] of Object.entries(limits)) {
    // nobody has a process of one's own
    if (per === 'shared' && status === 429) continue
    t.test(`per ${per}: as many as ${whose}`, async t => {
      const setting = await start(t, { per, limits: bounds })
      const held = await begin(setting.sessions, holder, { sampling: {} })
      const requests = Object.entries(eras).map(([name, make]) => ({ name, request: make(setting) }))
      for (const { name, request } of requests) {
        await t.test(name, async t => { await checkRefusal(t, await request(), status, name.endsWith('a batch')) })
      }
      await t.test('HTTP+SSE', async t => {
        const client = await SseClient.open(t, setting.sessions)
        const message = { jsonrpc: '2.0', id: 1, method: 'initialize', params: initializeParams() }
        await client.say(setting.sessions, message)
        t.match(await client.response(1), {
          error: { code: -32000, data: { limit: 'hosted_processes', retryAfterMs: 1000 } }
        })
      })
      await fetch(`${setting.sessions.url}/mcp`, { method: 'DELETE', headers: held.headers() })
      for (const { name, request } of requests.slice(1, 2)) t.equal((await request()).status, 200, `${name}: served`)
    })

    if (per === 'shared') continue
    t.test(`per ${per}: as many as ${whose}: a session whose process has ended`, async t => {
      const { sessions } = await start(t, { per, limits: bounds, ...per === 'session' && { restart: true } })
      const client = await begin(sessions, 'alice')
      await callTool(client, 'crash')
      const held = await begin(sessions, holder, { sampling: {} })
      await checkRefusal(t, await client.post(alone), status, false)
      await checkRefusal(t, await client.post(batch), status, true)
      await fetch(`${sessions.url}/mcp`, { method: 'DELETE', headers: held.headers() })
      t.equal((await client.post(batch)).status, 200, 'continues once there is room')
    })
  }
}
