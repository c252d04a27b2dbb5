import { EventEmitter, once } from 'node:events'
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js'
import { inputRequired, inputResponse, McpServer as McpServer2 } from '@modelcontextprotocol/server'
import t from 'tap'
import type { PluggedServer } from '../../../src/mcp/create-server.js'
import { Policy } from '../../../src/policy/policy.js'
import type { PolicyRules } from '../../../src/policy/rules.js'
import { createMemoryStores } from '../../../src/stores/memory/stores.js'
import { host, newEncryptionKeys } from '../../attacks/eras.js'
import { answerAll, parseAsked } from '../../eras/input-required.js'
import { post, request } from '../../support/raw-http.js'

/*
 * A call of 2026-07-28 waits for its client's input; meanwhile the rules change, or the client brings the input with
 * another token, for another tool, or to another replica. It goes on only for who may make that call now.
 */
const WRITE = 'ann_mcp.write'
const LOW = 'ann_mcp'
const OPEN: PolicyRules = { roles: { all: { tools: ['*'] } }, scopes: { write: { tools: ['ask'] } } }
const CLOSED: PolicyRules = { roles: { all: { tools: ['*', '!ask'] } }, scopes: { write: { tools: ['ask'] } } }
const requestedSchema = { type: 'object' as const, properties: { colour: { type: 'string' as const } } }
const capabilities = { elicitation: { form: {} } }
const content = [{ type: 'text' as const, text: 'done' }]

type Run = (tool: string) => Promise<void>

function makeAsking1 (run: Run): PluggedServer {
  const server = new McpServer({ name: 'asking', version: '1' })
  for (const name of ['ask', 'other']) {
    server.registerTool(name, {}, async ({ requestId: relatedRequestId }) => {
      await server.server.elicitInput({ message: 'Colour?', requestedSchema }, { relatedRequestId })
      await run(name)
      return { content }
    })
  }
  return server
}

let states = 0

function makeAsking2 (run: Run): PluggedServer {
  const server = new McpServer2({ name: 'asking', version: '2' })
  for (const name of ['ask', 'other']) {
    server.registerTool(name, {}, async ({ mcpReq: { inputResponses } }) => {
      if (inputResponse(inputResponses, 'colour').kind !== 'elicit') {
        return inputRequired({
          inputRequests: { colour: inputRequired.elicit({ message: 'Colour?', requestedSchema }) },
          requestState: `state-${states++}`
        })
      }
      await run(name)
      return { content }
    })
  }
  return server
}

const LINES: Readonly<Record<string, (run: Run) => PluggedServer>> = { 'SDK 1.x': makeAsking1, 'SDK 2.x': makeAsking2 }

for (const [line, makePlug] of Object.entries(LINES)) {
  t.test(line, async t => {
    const ran: string[] = []
    const events = new EventEmitter()
    let isHeld = false
    const run: Run = async tool => {
      ran.push(tool)
      if (!isHeld) return
      const go = once(events, 'go')
      events.emit('running')
      await go
    }
    const policy = new Policy(OPEN)
    const options = {
      createServer: () => makePlug(run),
      stores: createMemoryStores({ sessionIdleSeconds: 60 }),
      encryptionKeys: newEncryptionKeys(),
      policy
    }
    const [{ url: A }, { url: B }] = [await host(t, options), await host(t, options)]
    const begin = async () => {
      const { result } = await request(A, 'tools/call', { name: 'ask', arguments: {} }, { token: WRITE, capabilities })
      const asked = parseAsked(result)
      return { requestState: asked.requestState, inputResponses: answerAll(asked) }
    }
    const bring = async (url: string, token: string, brought: object, name = 'ask') =>
      await request(url, 'tools/call', { name, arguments: {}, ...brought }, { token, capabilities })

    for (const [where, url] of [['here', A], ['there', B]] as const) {
      const brought = await begin()
      t.equal((await bring(url, LOW, brought)).status, 403, `${where}: with a token that may not make the call`)
      t.notMatch((await bring(url, 'eve_mcp.write', { ...brought, inputResponses: {} })).result, { content },
        `${where}: by somebody else, it is not continued`)
      t.strictSame(ran, [])

      policy.replace(CLOSED)
      t.match((await bring(url, WRITE, brought)).error, { code: -32602, message: 'Unknown tool: ask' },
        `${where}: under new rules, the tool does not exist`)
      t.strictSame(ran, [])
      policy.replace({ ...CLOSED, refusal: 'forbidden' })
      t.equal((await bring(url, WRITE, brought)).status, 403, `${where}: or is forbidden`)
      await bring(url, WRITE, brought, 'other')
      t.strictSame(ran.splice(0).filter(tool => tool === 'ask'), [], `${where}: nor by the name of another tool`)

      policy.replace(OPEN)
      t.match((await bring(url, WRITE, brought)).result, { content }, `${where}: for who may, it continues`)
      t.strictSame(ran.splice(0), ['ask'])
    }

    // its client has gone before the response, which is kept
    isHeld = true
    const brought = await begin()
    const leave = new AbortController()
    const running = once(events, 'running')
    const params = { name: 'ask', arguments: {}, ...brought }
    const cut = post(A, 'tools/call', params, { token: WRITE, capabilities, signal: leave.signal }).catch(() => {})
    await running
    leave.abort()
    await cut
    const repeated = bring(A, WRITE, brought)
    for (let turns = 0; turns < 100; turns++) await new Promise(resolve => setImmediate(resolve))
    events.emit('go')
    t.match((await repeated).result, { content }, 'whose it is gets it')
    isHeld = false
    for (const url of [A, B]) {
      t.equal((await bring(url, LOW, brought)).status, 403, 'a response that is kept is not for a lesser token')
      policy.replace(CLOSED)
      t.match((await bring(url, WRITE, brought)).error, { message: 'Unknown tool: ask' }, 'nor under new rules')
      policy.replace(OPEN)
    }
    t.match((await bring(A, WRITE, brought)).result, { content }, 'and again')
    t.strictSame(ran, ['ask'], 'it has run once')
  })
}
