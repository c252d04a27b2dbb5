import { once, EventEmitter } from 'node:events'
import t from 'tap'
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js'
import { McpServer as McpServer2 } from '@modelcontextprotocol/server'
import type { AuditEvent } from '../../src/audit/event.js'
import type { Log } from '../../src/log.js'
import type { CreateServer } from '../../src/mcp/create-server.js'
import { createMemoryStores } from '../../src/stores/memory/stores.js'
import { host, ISSUER, WAYS, type Asked } from '../attacks/eras.js'
import { parseObject } from '../support/json.js'

/*
 * In every era and mode: what a server logs says which request, session, grant and client it is about; the line of each
 * HTTP request says what was called; and the record has what the policy refused.
 */
const ok = { content: [{ type: 'text' as const, text: 'ok' }] }
const NAMES = ['open', 'secret']
const makeTool = (log: Log, tool: string) => () => {
  log.info({ tool }, 'a tool %s', 'ran')
  log.warn('plainly')
  return ok
}
const SERVERS: Readonly<Record<string, CreateServer>> = {
  'SDK 1.x': ({ log }) => {
    const server = new McpServer({ name: 'logging', version: '1' })
    for (const name of NAMES) server.registerTool(name, {}, makeTool(log, name))
    return server
  },
  'SDK 2.x': ({ log }) => {
    const server = new McpServer2({ name: 'logging', version: '1' })
    for (const name of NAMES) server.registerTool(name, {}, makeTool(log, name))
    return server
  }
}
const rules = { roles: { all: { tools: ['*', '!secret'] } } }
const call = (name: string): Asked => ({ method: 'tools/call', params: { name, arguments: { hidden: 'argument' } } })

for (const [name, way] of Object.entries(WAYS)) {
  for (const [line, createServer] of Object.entries(SERVERS)) {
    t.test(`${name}, ${line}`, async t => {
      const { sessionMode, reuseInstances = false } = way
      const hasSession = sessionMode === 'stateful' && !name.startsWith('2026')
      const lines: Array<Record<string, unknown>> = []
      const events: AuditEvent[] = []
      const recorded = new EventEmitter()
      const extra = { issuer: ISSUER, subject: 'alice', grantId: 'mcpg_alice', claims: { email: 'alice@example.com' } }
      const service = await host(t, {
        createServer,
        stores: createMemoryStores({ sessionIdleSeconds: 60 }),
        sessionMode,
        reuseInstances,
        policy: rules,
        audit: {
          sink: event => {
            events.push(event)
            if (event.gen_ai?.tool?.name === 'last') recorded.emit('last')
          }
        },
        auth: {
          mode: 'host',
          authorizationServers: [ISSUER],
          verifyAccessToken: token => ({ token, clientId: 'client', scopes: ['mcp'], extra })
        }
      }, { write: text => { lines.push(parseObject(text)) } })
      const caller = await way.connect(t, service, 'token')
      await caller.ask('token', [call('open')])
      await caller.ask('token', [call('secret')])
      const isSse = name.includes('SSE')
      const requests = lines.filter(({ msg, tool }) => msg === 'request' && tool !== undefined)
      const ids = { clientId: 'client', grantId: 'mcpg_alice', ...hasSession && { sessionId: String } }
      const about = { method: 'POST', mcpMethod: 'tools/call', ...ids }
      t.match(requests, [
        { ...about, tool: 'open', ...!isSse && { outcome: 'ok' } },
        { ...about, tool: 'secret', outcome: 'refused' }
      ])
      const ran = lines.filter(({ msg }) => msg === 'a tool ran' || msg === 'plainly')
      const known = reuseInstances ? {} : { ...ids, reqId: requests[0]?.reqId }
      t.match(ran, [{ level: 30, tool: 'open', ...known }, { level: 40, ...known }], 'what the server logs')
      t.equal(ran.length, 2)
      t.notMatch(JSON.stringify(lines), /alice@example|argument/, 'no claims, no arguments')

      const last = once(recorded, 'last')
      await caller.ask('token', [call('last')])
      await last
      const calls = events.filter(({ gen_ai: target }) => target?.tool !== undefined)
      t.match(calls.map(({ event: { action, outcome }, gen_ai: target }) => [action, outcome, target?.tool?.name]), [
        ['call', 'success', 'open'], ['call-refused', 'failure', 'secret'], ['call', 'failure', 'last']
      ], 'the record has what was refused, once')
      t.match(calls[1], {
        user: { id: 'alice' },
        oauth: { grant: { id: 'mcpg_alice' } },
        mcp: { era: name.startsWith('2026') ? 'modern' : 'legacy' }
      })

      if (way.takesBatches) {
        await caller.ask('token', [call('open'), { method: 'tools/list' }], true)
        t.match(lines.filter(({ batch }) => batch === 2), [{
          ...ids, calls: [{ mcpMethod: 'tools/call', tool: 'open' }, { mcpMethod: 'tools/list' }]
        }])
      }
    })
  }
}
