import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js'
import t, { type Test } from 'tap'
import * as z from 'zod'
import type { CreateServer } from '../../src/mcp/create-server.js'
import { hostedServers } from '../fuzz/hosted-servers.js'
import { parseJson } from '../support/json.js'
import { initializeParams, RawClient, startMcp, type McpService } from '../support/mcp-harness.js'

type Params = unknown
/** A response that says what is wrong, or another. */
const ERROR_RESPONSE = z.object({
  id: z.unknown(),
  error: z.object({ code: z.number(), message: z.string() }).optional()
})

interface Reply {
  status: number
  id?: unknown
  code: number | undefined
  message: string
}

const envelope = {
  'io.modelcontextprotocol/protocolVersion': '2026-07-28',
  'io.modelcontextprotocol/clientInfo': { name: 'x', version: '1' },
  'io.modelcontextprotocol/clientCapabilities': {}
}
const initialized = initializeParams()

/** Parameters of the wrong shape, and the member that is to be named. */
const WRONG: ReadonlyArray<readonly [method: string, params: Params, named: RegExp]> = [
  ['tools/call', { name: 1 }, /name/],
  ['tools/call', { arguments: {} }, /name/],
  ['tools/call', { name: 'add', arguments: 'x' }, /arguments/],
  ['tools/list', { cursor: 5 }, /cursor/],
  ['resources/read', { uri: 5 }, /uri/],
  ['resources/read', {}, /uri/],
  ['resources/read', { uri: '' }, /uri/i],
  ['resources/read', { uri: 'no URL' }, /uri/i],
  ['prompts/get', { name: null }, /name/],
  ['prompts/get', { name: 'greet', arguments: { name: 5 } }, /arguments/],
  ['completion/complete', { ref: 5, argument: { name: 'name', value: 'x' } }, /ref/],
  ['completion/complete', { ref: { type: 'ref/prompt', name: 'greet' } }, /argument/]
]
const WRONG_OF_SESSIONS: typeof WRONG = [
  ['logging/setLevel', { level: 'loud' }, /level/],
  ['resources/subscribe', { uri: [] }, /uri/],
  ['tools/call', null, /params/],
  ['tools/call', [], /params/],
  ['tools/call', 'x', /params/],
  ['tools/call', { name: 'add', _meta: 5 }, /_meta/],
  ['tools/call', { name: 'add', _meta: { progressToken: {} } }, /progressToken/],
  ['ping', { _meta: null }, /_meta/]
]
const INITIALIZE: ReadonlyArray<readonly [params: Params, named: RegExp]> = [
  [null, /params/],
  [{}, /protocolVersion/],
  [{ ...initialized, protocolVersion: null }, /params\.protocolVersion/],
  [{ ...initialized, capabilities: null }, /params\.capabilities/],
  [{ ...initialized, clientInfo: null }, /params\.clientInfo/],
  [{ ...initialized, clientInfo: { name: null, version: '1' } }, /params\.clientInfo\.name/],
  [{ ...initialized, clientInfo: { name: 'x' } }, /params\.clientInfo\.version/],
  [{ ...initialized, capabilities: { sampling: 5 } }, /params\.capabilities\.sampling/]
]

async function replyOf (response: Response): Promise<Reply> {
  const text = await response.text()
  const { id, error } = parseJson(text, ERROR_RESPONSE)
  return { status: response.status, id, code: error?.code, message: error?.message ?? text }
}

/** Says something wrong, and expects to be told what. */
function check (t: Test, { code, id, message = '', status }: Reply, sent: unknown, named: RegExp, what: string): void {
  t.equal(code, -32602, `${what}: ${message}`)
  t.equal(id, sent, `${what}: the id`)
  t.match(message, named, `${what}: the member`)
  // of 2026-07-28 it is the SDK that answers
  if (!what.startsWith('2026')) t.notMatch(message, /\n|"expected"/, `${what}: a sentence`)
  t.ok(status === 200 || status === 400, `${what}: ${status}`)
}

async function inSession (t: Test, service: McpService, protocolVersion: string): Promise<void> {
  const client = await new RawClient(service).connect(protocolVersion)
  for (const [method, params, named] of [...WRONG, ...WRONG_OF_SESSIONS]) {
    check(
      t,
      await replyOf(await client.post({ jsonrpc: '2.0', id: 'x', method, params })),
      'x',
      named,
      `${protocolVersion} ${method} ${JSON.stringify(params)}`
    )
  }
  t.equal((await client.request('ping')).status, 200, 'the session continues')
}

async function modern (t: Test, service: McpService): Promise<void> {
  for (const [method, params, named] of WRONG) {
    const given: Record<string, unknown> = Object.fromEntries(Object.entries(params ?? {}))
    const name = given.name ?? given.uri
    const response = await new RawClient(service).post(
      { jsonrpc: '2.0', id: 'x', method, params: { ...given, _meta: envelope } },
      {
        'mcp-protocol-version': '2026-07-28',
        'mcp-method': method,
        ...(typeof name === 'string' && { 'mcp-name': name })
      }
    )
    const reply = await replyOf(response)
    // the header that has to repeat the name is looked at first
    if (reply.code === -32020) t.match(reply.message, /Mcp-Name/i)
    else check(t, reply, 'x', named, `2026-07-28 ${method} ${JSON.stringify(params)}`)
  }
  for (const clientInfo of [{}, { name: null, version: '1' }, { name: 'x', version: 1 }, 5]) {
    const _meta = { ...envelope, 'io.modelcontextprotocol/clientInfo': clientInfo }
    const response = await new RawClient(service).post(
      { jsonrpc: '2.0', id: 'x', method: 'tools/list', params: { _meta } },
      { 'mcp-protocol-version': '2026-07-28', 'mcp-method': 'tools/list' }
    )
    check(t, await replyOf(response), 'x', /clientInfo/, `clientInfo ${JSON.stringify(clientInfo)}`)
  }
}

for (const [sdk, createServer] of Object.entries<CreateServer>(hostedServers)) {
  t.test(`parameters of the wrong shape are -32602, with the member named: ${sdk}, sessions`, async t => {
    const service = await startMcp(t, { createServer })
    for (const protocolVersion of ['2025-03-26', '2025-06-18', '2025-11-25']) {
      await inSession(t, service, protocolVersion)
    }
  })

  t.test(`parameters of the wrong shape are -32602, with the member named: ${sdk}, 2026-07-28`, async t => {
    await modern(t, await startMcp(t, { createServer }))
  })

  for (const sessionMode of ['stateful', 'stateless'] as const) {
    t.test(`initialize with what is not right names the member and keeps the id: ${sdk}, ${sessionMode}`, async t => {
      const service = await startMcp(t, { createServer, sessionMode })
      for (const [params, named] of INITIALIZE) {
        for (const id of ['x', 7]) {
          check(
            t,
            await replyOf(await new RawClient(service).post({ jsonrpc: '2.0', id, method: 'initialize', params })),
            id,
            named,
            `initialize ${JSON.stringify(params)}`
          )
        }
      }
    })
  }

  t.test(`without sessions: ${sdk}`, async t => {
    const service = await startMcp(t, { createServer, sessionMode: 'stateless' })
    for (const [method, params, named] of [...WRONG, ...WRONG_OF_SESSIONS]) {
      check(
        t,
        await replyOf(await new RawClient(service).post({ jsonrpc: '2.0', id: 'x', method, params })),
        'x',
        named,
        `${method} ${JSON.stringify(params)}`
      )
    }
  })
}

t.test('a tool whose own parsing fails is at fault itself', async t => {
  const failing: CreateServer = context => {
    const server = hostedServers['SDK 1.x'](context)
    if (!(server instanceof McpServer)) throw new Error('not an McpServer')
    server.registerResource('broken', 'broken://x', {}, () => {
      throw new Error(JSON.stringify([{ path: ['rows', 0], message: 'Invalid input' }]))
    })
    return server
  }
  const client = await new RawClient(await startMcp(t, { createServer: failing })).connect()
  t.match(await replyOf(await client.request('resources/read', { uri: 'broken://x' })), { code: -32603 })
})
