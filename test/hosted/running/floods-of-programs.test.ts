import t, { type Test } from 'tap'
import { parseObject, textAt } from '../../support/json.js'
import { RawClient } from '../../support/mcp-harness.js'
import { callForJson, callTool, until } from '../stdio.js'
import { callers } from './callers.js'
import { checkFloods, MESSAGES, program, startFlood } from './floods.js'
import { readers } from './readers.js'

/*
 * A program that sends more than its client reads.
 */
checkFloods(t, 'a program', async (_t, blocked) => program(blocked))

const beginFlood = readers['session of 2025-11-25']

t.test('a program that another session of the person uses, which has no call, waits as well', async t => {
  const { service, flood, waitUntilBlocked } = await startFlood(t, async (_t, blocked) => program(blocked))
  const beside = await new RawClient(service).connect()
  const { text: pid } = await callTool(beside, 'pid')
  const call = await beginFlood?.(service.url, 'alice', 'flood', flood)
  t.ok(await waitUntilBlocked() < MESSAGES)
  t.match(await callTool(beside, 'pid'), { text: pid }, 'it is read on as soon as the other session calls')
  await call?.read()
})

for (const per of ['person', 'shared'] as const) {
  t.test(`per ${per}: one that others need waits for nobody, and the call ends with an error`, async t => {
    const host = async (_t: Test, blocked: string) => program(blocked, { per })
    const { service, flood } = await startFlood(t, host)
    const beside = await new RawClient(service, per === 'shared' ? 'bob' : 'alice').connect()
    const hanging = beside.request('tools/call', { name: 'hang' })
    const call = await beginFlood?.(service.url, 'alice', 'flood', flood)
    await until(async () => JSON.stringify((await callForJson(beside, 'state')).cancelled) !== '[]')
    const messages = await call?.read() ?? []
    t.match(messages.at(-1), { error: { code: -32000, message: /does not read|not read/ } }, 'it is told')
    t.ok(messages.length < MESSAGES)
    await service.app.close()
    await hanging
  })
}

for (const [era, begin] of Object.entries(readers)) {
  t.test(`a client that takes nothing is disconnected, ${era}`, async t => {
    const { service, flood, waitUntilBlocked } = await startFlood(t, async (_t, blocked) => program(blocked), {
      stalledMs: 500
    })
    const cut = new Promise<void>(resolve => {
      service.app.server.on('connection', socket => { socket.once('close', () => { resolve() }) })
    })
    const call = await begin(service.url, 'alice', 'flood', flood)
    await waitUntilBlocked()
    await cut
    t.same(await call.read(), [])
    const beside = await callers[era]?.(t, service.url, 'alice')
    const keepsCall = era === 'session of 2025-11-25'
    let state: Record<string, unknown> = {}
    await until(async () => {
      const { result } = await beside?.call('state', {}) ?? {}
      state = parseObject(textAt(result, 'content', 0, 'text'))
      return JSON.stringify(keepsCall ? state.notes : state.cancelled) !== '[]'
    })
    t.match(state, keepsCall ? { notes: ['flooded'], cancelled: [] } : { cancelled: [Number] }, 'the program is told')
  })
}
