import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import type { FastifyInstance, InjectOptions } from 'fastify'
import t, { type Test } from 'tap'
import type { CreateServer } from '../../src/mcp/create-server.js'
import type { SessionLimits } from '../../src/mcp/limits.js'
import { isObject } from '../../src/members.js'
import { FAST_PATH } from '../../src/mcp/modern/fast-path/fast-path.js'
import { modernRequest } from '../../src/testing/modern-request.js'
import { createServer as fixture1 } from '../conformance/fixture-server.js'
import { createServer as fixture2 } from '../conformance/fixture-server-2.js'
import { objectOf, parseObject, valueAt } from '../support/json.js'
import { startMcp } from '../support/mcp-harness.js'
import { root } from '../support/root.js'

/*
 * The fast path changes nothing but the time that a request takes: the same requests, with its door open and shut, get
 * the same responses.
 */
const GENERATED = 500
const SEED = 20260728
const AT_ONCE = 25
const SOURCES = join(root, 'src/mcp/modern')

const SDKS: ReadonlyArray<[name: string, createServer: CreateServer]> = [['1.x', fixture1], ['2.x', fixture2]]
const CAPABILITIES = 'io.modelcontextprotocol/clientCapabilities'
const everything = { elicitation: { form: {}, url: {} }, sampling: { tools: {} }, roots: {} }

// one person makes thousands of calls, and the requests that wait for input are never taken up again
const limits = {
  toolCallsPerMinute: 0,
  maxRequestsInFlightPerPerson: 1000,
  maxInstancesPerPerson: 5000,
  maxLiveInstances: 10_000,
  maxSuspendedCalls: 5000,
  maxSuspendedCallsPerPerson: 5000
} satisfies Partial<SessionLimits>

interface Doors { open: FastifyInstance, shut: FastifyInstance }

async function startBoth (t: Test, createServer: CreateServer, reuseInstances: boolean): Promise<Doors> {
  const options = { createServer, reuseInstances, limits }
  const { app: open } = await startMcp(t, options)
  const { app: shut } = await startMcp(t, Object.assign({ [FAST_PATH]: false }, options))
  return { open, shut }
}

function toInject (request: { headers: Record<string, string>, body: string }): InjectOptions {
  const { headers, body } = request
  return {
    method: 'POST',
    url: '/mcp',
    authority: '127.0.0.1',
    headers: { authorization: 'Bearer alice', ...headers },
    payload: body
  }
}

/** The response as it came, but for its date, and what is sealed with a random nonce. */
async function respond (app: FastifyInstance, request: InjectOptions) {
  const { statusCode, headers: { date, ...headers }, body } = await app.inject(request)
  const text = body.replaceAll(/"requestState":"[^"]*"/g, '"requestState":"…"')
  return { statusCode, headers: text === body ? headers : { ...headers, 'content-length': '…' }, text }
}

async function compare (t: Test, { open, shut }: Doors, requests: readonly InjectOptions[]): Promise<void> {
  let [plain, differ] = [0, 0]
  for (let first = 0; first < requests.length; first += AT_ONCE) {
    await Promise.all(requests.slice(first, first + AT_ONCE).map(async request => {
      const [fast, slow] = await Promise.all([respond(open, request), respond(shut, request)])
      if (fast.statusCode === 200) plain++
      if (JSON.stringify(fast) === JSON.stringify(slow)) return
      if (++differ <= 5) t.match({ request, response: fast }, { request, response: slow }, 'the responses are the same')
    }))
  }
  t.equal(differ, 0, `${requests.length} requests, ${plain} of them with status 200`)
  t.ok(plain > requests.length / 5, 'servers have run')
}

/** A value that a schema may take. */
function exampleOf (schema: unknown): unknown {
  switch (valueAt(schema, 'type')) {
    case 'string': return 'park'
    case 'number':
    case 'integer': return 1
    case 'boolean': return true
    case 'object': return {}
    case 'array': return []
  }
  return undefined
}

function argumentsFor (schema: unknown): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(objectOf(valueAt(schema, 'properties') ?? {})).map(([name, property]) => [name, exampleOf(property)])
  )
}

type Call = readonly [method: string, params: Record<string, unknown>]

/** Every method that the server has, with everything that it lists. */
async function callsOf (app: FastifyInstance): Promise<Call[]> {
  const list = async (method: string, member: string): Promise<Array<Record<string, unknown>>> => {
    const { text } = await respond(app, toInject(modernRequest(1, method, {}, { [CAPABILITIES]: {} })))
    const items = valueAt(parseObject(text), 'result', member)
    return Array.isArray(items) ? items.filter(isObject) : []
  }
  const tools = await list('tools/list', 'tools')
  const prompts = await list('prompts/list', 'prompts')
  const resources = await list('resources/list', 'resources')
  const prompt = { type: 'ref/prompt', name: 'test_prompt_with_arguments' }
  return [
    ...['server/discover', 'tools/list', 'prompts/list', 'resources/list', 'resources/templates/list'].map(method =>
      [method, {}] as const
    ),
    ...tools.map(({ name, inputSchema }) => ['tools/call', { name, arguments: argumentsFor(inputSchema) }] as const),
    ...prompts.map(({ name, arguments: takes }) => {
      const names = Array.isArray(takes) ? takes.map(argument => String(valueAt(argument, 'name'))) : []
      return ['prompts/get', { name, arguments: Object.fromEntries(names.map(name => [name, 'test://x'])) }] as const
    }),
    ...resources.map(({ uri }) => ['resources/read', { uri }] as const),
    ['resources/read', { uri: 'test://template/7/data' }],
    ['resources/read', { uri: 'test://nowhere' }],
    ['tools/call', { name: 'nowhere', arguments: {} }],
    ['prompts/get', { name: 'nowhere' }],
    ['completion/complete', { ref: prompt, argument: { name: 'arg1', value: 'pa' } }],
    ['ping', {}],
    ['logging/setLevel', { level: 'debug' }],
    ['nowhere', {}]
  ]
}

/** What a client says usually, and now and then otherwise. */
const usually = <T, U>(usual: T, otherwise: fc.Arbitrary<U>): fc.Arbitrary<T | U> =>
  fc.oneof({ weight: 8, arbitrary: fc.constant(usual) }, { weight: 1, arbitrary: otherwise })

const anything = fc.oneof(fc.constantFrom(null, 0, '', 'text', [], {}), fc.jsonValue({ maxDepth: 2 }))

const capabilities = fc.constantFrom({}, { roots: {} }, { elicitation: {} }, null, [], { sampling: 7 })

const metas = fc.record({
  [CAPABILITIES]: usually(everything, capabilities),
  'io.modelcontextprotocol/clientInfo': usually({ name: 'client', version: '1' }, anything),
  'io.modelcontextprotocol/logLevel': usually('debug', fc.constantFrom('error', 'loud')),
  'io.modelcontextprotocol/protocolVersion': usually('2026-07-28', fc.constantFrom('2025-11-25', '2099-01-01', 7)),
  progressToken: usually('token', fc.constantFrom(7, 1.5, null))
}, { requiredKeys: [CAPABILITIES, 'io.modelcontextprotocol/protocolVersion'] })

const headerChanges = usually({}, fc.record({
  'mcp-protocol-version': fc.constantFrom('2025-11-25', '2099-01-01', ''),
  'mcp-method': fc.constantFrom('tools/list', 'TOOLS/CALL', ''),
  'mcp-name': fc.constantFrom('nowhere', '=?base64?bm93aGVyZQ==?=', ''),
  accept: fc.constantFrom('application/json', 'text/event-stream', '*/*'),
  'content-type': fc.constantFrom('text/plain', 'application/json; charset=utf-8', 'application/JSON'),
  'mcp-param-region': fc.constantFrom('park', 'elsewhere')
}, { requiredKeys: [] }))

const names = fc.constantFrom('arguments', 'name', 'uri', 'cursor', 'task', 'requestState', 'extra')

/** Calls as clients make them, most of them with something unusual or wrong. */
function generate (calls: readonly Call[], seed: number): InjectOptions[] {
  const request = fc.record({
    call: fc.constantFrom(...calls),
    id: usually(7, fc.constantFrom('id', '', null, 1.5, -1)),
    meta: metas,
    headers: headerChanges,
    without: usually(undefined, fc.constantFrom('mcp-protocol-version', 'mcp-method', 'mcp-name', 'content-type')),
    params: usually({}, fc.dictionary(names, anything)),
    message: usually({}, fc.dictionary(fc.constantFrom('id', 'params', 'extra'), anything))
  })
  return fc.sample(request, { seed, numRuns: GENERATED }).map(generated => {
    const { call: [method, usual], id, meta, headers, without, params, message } = generated
    const plain = modernRequest(7, method, { ...usual, ...params }, meta)
    const kept = Object.entries({ ...plain.headers, ...headers }).filter(([name]) => name !== without)
    return toInject({
      headers: Object.fromEntries(kept),
      body: JSON.stringify({ ...parseObject(plain.body), id, ...message })
    })
  })
}

for (const [name, createServer] of SDKS) {
  t.test(`every method of the conformance fixture, SDK ${name}`, async t => {
    for (const reuseInstances of [false, true]) {
      const doors = await startBoth(t, createServer, reuseInstances)
      const calls = await callsOf(doors.open)
      const requests = calls.flatMap(([method, params]) => [
        modernRequest(7, method, params, { [CAPABILITIES]: everything, progressToken: 'token' }),
        modernRequest(8, method, params, { [CAPABILITIES]: {}, 'io.modelcontextprotocol/logLevel': 'debug' })
      ])
      await compare(t, doors, requests.map(toInject))
    }
  })

  t.test(`twice ${GENERATED} generated requests, SDK ${name}`, async t => {
    for (const reuseInstances of [false, true]) {
      const doors = await startBoth(t, createServer, reuseInstances)
      await compare(t, doors, generate(await callsOf(doors.open), SEED + Number(reuseInstances)))
    }
  })
}

t.test('the fast path has one door', async t => {
  for (const file of readdirSync(SOURCES, { recursive: true, encoding: 'utf8' })) {
    if (!file.endsWith('.ts') || file.startsWith('fast-path/')) continue
    const imported = readFileSync(join(SOURCES, file), 'utf8').match(/'[^']*fast-path\/[^']*'/g) ?? []
    t.strictSame(imported, file === 'modern-handler.ts' ? ["'./fast-path/fast-path.js'"] : [], file)
  }
})
