import { once } from 'node:events'
import process from 'node:process'
import t from 'tap'
import { ControlledServer } from '../../support/controlled-server.js'
import { RawClient, startMcp } from '../../support/mcp-harness.js'
import { post } from '../../support/raw-http.js'
import { SseClient } from '../../support/sse-client.js'
import { ScriptedRemote } from '../remote/scripted-remote.js'
import { isAlive, plainServer, readResponse, until } from '../stdio.js'
import { callers } from './callers.js'
import { descendantsOf, hostingProcess } from './hosting-process.js'

/*
 * kill -9 of the real process, with calls running in hosted programs and at remote servers, for each era in front:
 * clients see their connections end, no program survives, remote servers see the end; and what clients find that come
 * back to the service once it runs again.
 */
t.test('kill -9 with calls at hosted servers', async t => {
  const remote = new ControlledServer()
  const { url } = await startMcp(t, { createServer: remote.createServer })
  const closed: Array<Promise<unknown>> = []
  const scripted = await ScriptedRemote.start(t, ({ method, params, response }) => {
    if (method !== 'tools/call' || !JSON.stringify(params).includes('"wait"')) return false
    closed.push(once(response, 'close'))
    return true
  })
  const program = { command: process.execPath, args: [plainServer, '--stubborn'] }
  const servers = {
    'program-of-each-person': program,
    'program-of-each-session': { ...program, share: 'session' },
    'program-of-all': { ...program, share: true },
    'remote-by-streamable-http': { url: scripted.url },
    'remote-by-http-sse': { url: `${url}/sse`, type: 'sse', headers: { authorization: 'Bearer alice' } }
  }
  const hosting = await hostingProcess(t, servers, { LOG_LEVEL: 'info' })
  const first = await hosting.start()

  /** The sessions that are continued, or not. */
  const sessions = await Promise.all(Object.keys(servers).map(async server => {
    const at = { url: `${hosting.url}/${server}` }
    const streamable = await new RawClient(at, hosting.token).connect()
    return { server, at, streamable, sse: await (await SseClient.open(t, at, hosting.token)).initialize(at) }
  }))
  const running = Object.keys(servers).flatMap(server => Object.entries(callers).map(([era, connect]) => {
    const call = async () => {
      const caller = await connect(t, `${hosting.url}/${server}`, hosting.token)
      return await caller.call('wait', { name: `endless: ${server}, ${era}` })
    }
    return { name: `${server}, ${era}`, ended: call().then(() => 'response', () => 'cut') }
  }))
  await first.lines(/waits: endless/, 9)
  await until(() => closed.length === 3)
  const atRemote = await Promise.all(Object.keys(callers).map(async era =>
    (await remote.call(`endless: remote-by-http-sse, ${era}`)).extra.signal))
  const family = descendantsOf(first.pid)
  first.kill('SIGKILL')
  await first.exited
  const again = hosting.start()

  for (const { name, ended } of running) {
    await t.test(`${name}: the connection of a running call ends`, async t => { t.equal(await ended, 'cut') })
  }
  await t.test('no program survives, nor what watches over them', async t => {
    t.ok(family.length > 9)
    await until(() => !family.some(isAlive))
  })
  await t.test('remote servers see the end', async () => {
    await Promise.all(closed)
    await until(() => atRemote.every(({ aborted }) => aborted))
  })

  const CALL = { name: 'state', arguments: {} }
  await t.test('it runs again', async t => {
    await again
    for (const { server, at, streamable, sse } of sessions) {
      await t.test(`${server}, session of 2025-11-25, afterwards`, async t => {
        const isAtRemote = server.startsWith('remote')
        const response = await streamable.request('tools/call', isAtRemote ? { name: 'touch' } : CALL)
        if (server === 'program-of-each-session') {
          t.equal(response.status, 404)
          t.match(await readResponse(response), { error: { message: /the process that it had has ended/ } })
          return
        }
        t.equal(response.status, 200)
        t.hasProp(await readResponse(response), 'result', 'it continues')
      })
      await t.test(`${server}, 2026-07-28, afterwards`, async t => {
        const response = await post(at.url, 'tools/call', CALL, { token: hosting.token, capabilities: {} })
        t.hasProp(await readResponse(response), 'result')
      })
      await t.test(`${server}, HTTP+SSE, afterwards`, async t => {
        await sse.end()
        const response = await sse.post(at, { jsonrpc: '2.0', id: 1, method: 'tools/call', params: CALL })
        t.equal(response.status, 404, 'a session that had its stream in the process is over')
      })
    }
  })
})
