import { once } from 'node:events'
import process from 'node:process'
import t from 'tap'
import { ControlledServer } from '../../support/controlled-server.js'
import { startMcp } from '../../support/mcp-harness.js'
import { isAlive, plainServer, until } from '../stdio.js'
import { ScriptedRemote } from '../remote/scripted-remote.js'
import { callers } from './callers.js'
import { descendantsOf, hostingProcess } from './hosting-process.js'

/*
 * SIGTERM of the real process, with calls running in hosted programs and at remote servers, for each era in front: what
 * finishes in time reaches its client; what does not ends with an error, there and here; nothing is left.
 */
t.test('SIGTERM with calls at hosted servers', async t => {
  const remote = new ControlledServer()
  const { url } = await startMcp(t, { createServer: remote.createServer })
  const headers = { authorization: 'Bearer alice' }
  const program = { command: process.execPath, args: [plainServer] }
  const servers = {
    'program-of-each-person': program,
    'program-of-each-session': { ...program, share: 'session' },
    'program-of-all': { ...program, share: true },
    'remote-by-streamable-http': { url: `${url}/mcp`, headers },
    'remote-by-http-sse': { url: `${url}/sse`, type: 'sse', headers }
  }
  const isRemote = (server: string) => server.startsWith('remote')

  /** They do not end by themselves, and hold up nobody else's end. */
  let isMute = false
  const mute = await ScriptedRemote.start(t, ({ method }) => isMute || method === 'tools/call')
  const stubborn = { command: process.execPath, args: [plainServer, '--stubborn'] }
  const faulty = { stubborn, 'as-stubborn': stubborn, mute: { url: mute.url } }

  const hosting = await hostingProcess(t, { ...servers, ...faulty }, { SHUTDOWN_SECONDS: '2', LOG_LEVEL: 'info' })
  const service = await hosting.start()

  const cells = Object.keys(servers).flatMap(server => Object.entries(callers).map(([era, connect]) => ({
    server, era, connect, name: `${server}, ${era}`
  })))
  const begun = await Promise.all(cells.map(async ({ server, connect, name }) => {
    const caller = await connect(t, `${hosting.url}/${server}`, hosting.token)
    const [finishing, endless] = [`finishing: ${name}`, `endless: ${name}`]
    const calls = [finishing, endless].map(async text => await caller.call('wait', { name: text }))
    if (isRemote(server)) {
      const [one, other] = [await remote.call(finishing), await remote.call(endless)]
      const aborted = new Promise<void>(resolve => {
        other.extra.signal.addEventListener('abort', () => { resolve() })
      })
      return { calls, finish: () => { one.finish(finishing) }, aborted }
    }
    const pids = await Promise.all([finishing, endless].map(async text =>
      Number(/\((\d+)\)/.exec(await service.line(new RegExp(`waits: ${text.replace('+', '.')} `)))?.[1])))
    return { calls, finish: () => { process.kill(pids[0] ?? 0, 'SIGUSR2') }, pid: pids[0] }
  }))
  const faults = Object.keys(faulty).flatMap(server => Object.entries(callers).map(([era, connect]) => {
    const call = async () => {
      const caller = await connect(t, `${hosting.url}/${server}`, hosting.token)
      return await caller.call('wait', { name: `endless: ${server}` })
    }
    return { name: `${server}, ${era}`, response: call() }
  }))
  await service.lines(/waits: endless: (as-)?stubborn/, 6)
  while (mute.of('tools/call').length < 3) await once(mute, 'tools/call')
  const family = descendantsOf(service.pid)
  isMute = true
  service.kill('SIGTERM')
  await service.line(/"msg":"closing"/)
  for (const { finish } of begun) finish()

  for (const [index, { server, name }] of cells.entries()) {
    const cell = begun[index]
    await t.test(name, async t => {
      const [finishing, endless] = await Promise.all(cell?.calls ?? [])
      t.match(finishing, { result: { content: [{ text: `finishing: ${name}` }] } }, 'what finishes reaches the client')
      t.match(endless, { error: { code: -32000, message: /shutting down/ } }, 'what does not ends with an error')
      await cell?.aborted
      if (!isRemote(server)) t.ok(family.includes(cell?.pid ?? 0))
    })
  }

  for (const { name, response } of faults) {
    await t.test(name, async t => {
      t.match(await response, { error: { code: -32000, message: /shutting down/ } }, 'it ends with an error')
    })
  }

  await t.test('a clean end, and nothing is left', async t => {
    t.equal(await service.exited, 0)
    t.notOk(begun.some(({ pid }) => pid !== undefined && isAlive(pid)), 'programs have ended before the service')
    await until(() => !family.some(isAlive))
  })
})
