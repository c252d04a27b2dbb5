import { EventEmitter, once } from 'node:events'
import { setImmediate } from 'node:timers/promises'
import t from 'tap'
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js'
import { McpServer as McpServer2 } from '@modelcontextprotocol/server'
import type { Log } from '../../src/log.js'
import type { CreateServer } from '../../src/mcp/create-server.js'
import { createMemoryStores } from '../../src/stores/memory/stores.js'
import { host, ISSUER, WAYS } from '../attacks/eras.js'
import { parseObject } from '../support/json.js'

/*
 * Calls that run at once, of one client: what each logs says which request it belongs to, whatever has come since, and
 * after its response, too.
 */
const ok = { content: [{ type: 'text' as const, text: 'ok' }] }
const TOOLS = ['first', 'second', 'third'] as const

function makeTools (steps: EventEmitter) {
  return (log: Log, tool: string) => async () => {
    log.info({ by: tool }, 'step begun')
    steps.emit(`${tool} begun`)
    await once(steps, `${tool} may end`)
    log.info({ by: tool }, 'step continued')
    const later = once(steps, 'all are over').then(async () => {
      await setImmediate()
      log.info({ by: tool }, 'step after its response')
    })
    later.catch(() => {})
    return ok
  }
}

const LINES = {
  'SDK 1.x': steps => ({ log }) => {
    const server = new McpServer({ name: 'logging', version: '1' })
    for (const name of TOOLS) server.registerTool(name, {}, makeTools(steps)(log, name))
    return server
  },
  'SDK 2.x': steps => ({ log }) => {
    const server = new McpServer2({ name: 'logging', version: '1' })
    for (const name of TOOLS) server.registerTool(name, {}, makeTools(steps)(log, name))
    return server
  }
} as const satisfies Record<string, (steps: EventEmitter) => CreateServer>

for (const [name, way] of Object.entries(WAYS)) {
  for (const [line, makeCreateServer] of Object.entries(LINES)) {
    t.test(`${name}, ${line}`, async t => {
      const { sessionMode, reuseInstances = false } = way
      const steps = new EventEmitter()
      const lines: Array<Record<string, unknown>> = []
      const service = await host(t, {
        createServer: makeCreateServer(steps),
        stores: createMemoryStores({ sessionIdleSeconds: 60 }),
        sessionMode,
        reuseInstances,
        auth: {
          mode: 'host',
          authorizationServers: [ISSUER],
          verifyAccessToken: token => ({
            token,
            clientId: 'client',
            scopes: ['mcp'],
            extra: { issuer: ISSUER, subject: 'alice', grantId: `grant of ${token}` }
          })
        }
      }, { write: text => { lines.push(parseObject(text)) } })
      const caller = await way.connect(t, service, 'first')
      const all: Array<Promise<unknown>> = []
      const call = async (tool: string, id: number) => {
        const begun = once(steps, `${tool} begun`)
        const asked = { id, method: 'tools/call', params: { name: tool, arguments: {} } }
        const told = caller.ask(tool, [asked])
        await begun
        all.push(told)
        return async () => {
          steps.emit(`${tool} may end`)
          while (!lines.some(({ by, msg }) => by === tool && msg === 'step continued')) await setImmediate()
          for (let turn = 0; turn < 20; turn++) await setImmediate()
        }
      }
      const endFirst = await call('first', 1)
      const endSecond = await call('second', 2)
      await endFirst()
      const endThird = await call('third', 3)
      await endThird()
      await endSecond()
      await Promise.all(all)
      steps.emit('all are over')
      for (let turn = 0; turn < 5; turn++) await setImmediate()
      const requests = new Map(lines.flatMap(({ msg, tool, reqId }) =>
        msg === 'request' && typeof tool === 'string' ? [[tool, reqId]] : []))
      t.equal(new Set(requests.values()).size, 3, 'three requests')
      const logged = lines.filter(({ by }) => by !== undefined)
      t.equal(logged.length, 9)
      for (const { by, msg, reqId, grantId } of logged) {
        const known = reuseInstances ? [undefined, undefined] : [requests.get(String(by)), `grant of ${String(by)}`]
        t.strictSame([reqId, grantId], known, `${String(by)}: ${String(msg)}`)
      }
    })
  }
}
