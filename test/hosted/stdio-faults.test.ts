import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import t from 'tap'
import type { StdioServerOptions } from '../../src/hosted/stdio/options/options.js'
import { stdioServer } from '../../src/hosted/stdio/stdio-server.js'
import { initializeParams, RawClient } from '../support/mcp-harness.js'
import { root } from '../support/root.js'
import { callForJson, callTool, hostPlain, isAlive, readResponse, until } from './stdio.js'

const initialize = async (client: RawClient) => await client.request('initialize', initializeParams())

for (const per of ['person', 'session', 'shared'] as const) {
  t.test(`per ${per}: a crash in a call`, async t => {
    const service = await hostPlain(t, { per })
    const client = await new RawClient(service).connect('2025-06-18')
    const bystander = await new RawClient(service).connect('2025-06-18')
    await callTool(client, 'note', { text: 'lost' })
    t.match(await callTool(client, 'crash'), {
      error: { code: -32000, message: 'The hosted server did not finish this call: it has ended (exit code 3).' }
    })
    if (per === 'session') {
      const response = await client.request('tools/call', { name: 'state' })
      t.equal(response.status, 404, 'what the session knew is lost: it is told')
      t.match(await readResponse(response), { error: { code: -32001, message: /the process that it had has ended/ } })
      t.equal((await client.request('ping')).status, 404)
    } else t.match(await callForJson(client, 'state'), { notes: [], initializes: 1, initialized: 1 }, 'a new process')
    t.match(await callForJson(bystander, 'state'), { initializes: 1 })
  })
}

t.test('per session, with restart: goes on with a new process', async t => {
  const service = await hostPlain(t, { per: 'session', restart: true })
  const client = await new RawClient(service).connect('2025-06-18')
  await callTool(client, 'crash')
  t.match(await callForJson(client, 'state'), { notes: [], initializes: 1, initialized: 1 })
})

const neverBegins: Record<string, [options: Partial<StdioServerOptions>, flags: string[], message: RegExp]> = {
  'a command that there is not': [{ command: '/nowhere/at-all' }, [], /could not be started/],
  'a folder that there is not': [{ cwd: '/nowhere/at-all' }, [], /could not be started/],
  'a server that exits at once': [{}, ['--exit'], /it has ended \(exit code 7\)/],
  'a server that never answers': [{ limits: { startSeconds: 0.5 } }, ['--never-ready'], /not begun within 0.5 seconds/]
}
for (const [name, [options, flags, message]] of Object.entries(neverBegins)) {
  t.test(`${name}: an error that says so, and no loop`, async t => {
    const service = await hostPlain(t, options, flags)
    for (let attempt = 0; attempt < 3; attempt++) {
      const response = await initialize(new RawClient(service))
      t.equal(response.status, 502)
      t.match(await readResponse(response), { error: { message } })
    }
    t.match(await readResponse(await initialize(new RawClient(service))), {
      error: { message: /has failed several times. Try again in 1 second/ }
    })
    t.match(await readResponse(await initialize(new RawClient(service, 'bob'))), { error: { message } }, 'each person')
  })
}

t.test('a slow start is waited for, by all who share it', async t => {
  const service = await hostPlain(t, {}, ['--slow', '--banner'])
  const [one, two] = await Promise.all([1, 2].map(async () => await new RawClient(service).connect()))
  if (one === undefined || two === undefined) throw new Error()
  t.match(await callForJson(one, 'state'), { initializes: 1, initialized: 1 })
  t.equal((await callTool(one, 'pid')).text, (await callTool(two, 'pid')).text)
})

t.test('what is not a message is ignored', async t => {
  const service = await hostPlain(t)
  const client = await new RawClient(service).connect()
  t.match(await callTool(client, 'garbage'), { text: 'after garbage' })
  t.match(await callTool(client, 'huge', { length: 2_000_000 }), { text: /^x{2000000}$/ }, 'a long line comes in pieces')
})

t.test('a message that is too long ends the process', async t => {
  const service = await hostPlain(t, { limits: { maxMessageBytes: 10_000 } })
  const client = await new RawClient(service).connect()
  t.match(await callTool(client, 'huge', { length: 20_000 }), { error: { message: /sent a message that is too long/ } })
  t.match(await callForJson(client, 'state'), { initializes: 1 }, 'the next call has another')
})

t.test('too much memory ends the process', async t => {
  const service = await hostPlain(t, { limits: { maxMemoryBytes: 200_000_000 } })
  const client = await new RawClient(service).connect()
  t.match(await callTool(client, 'eat', { megabytes: 300 }), { error: { message: /uses too much memory/ } })
})

t.test('a server that does not read: an error, and no endless buffer', async t => {
  const service = await hostPlain(t, { limits: { maxUnreadBytes: 200_000 } })
  const client = await new RawClient(service).connect()
  await callTool(client, 'deaf')
  const abort = new AbortController()
  const calls = Array.from({ length: 6 }, async () =>
    await client.request('tools/call', { name: 'note', arguments: { text: 'n'.repeat(100_000) } }, {}, abort.signal)
      .then(readResponse))
  t.match(await Promise.race(calls), { error: { message: /does not read what it is sent/ } })
  abort.abort()
  await Promise.allSettled(calls)
})

t.test('bounds of processes: idle ones give way', async t => {
  const service = await hostPlain(t, { per: 'session', limits: { maxProcessesPerPerson: 2, maxProcesses: 3 } })
  await new RawClient(service).connect()
  await new RawClient(service).connect()
  t.match(await readResponse(await initialize(new RawClient(service))), { error: { message: /as many hosted servers/ } })
  await new RawClient(service, 'bob').connect()
  t.match(await readResponse(await initialize(new RawClient(service, 'bob'))), { error: { message: /no room/ } })
})

t.test('idle processes end', async t => {
  const service = await hostPlain(t, { limits: { idleSeconds: 0.3 } }, [], { sessionMode: 'stateless' })
  const { text: pid } = await callTool(new RawClient(service), 'pid')
  t.ok(isAlive(Number(pid)))
  await until(() => !isAlive(Number(pid)))
})

t.test('closing leaves no process: one that ignores SIGTERM, and what it has started', async t => {
  const service = await hostPlain(t, {}, ['--stubborn'])
  const client = await new RawClient(service).connect()
  const pids = [Number((await callTool(client, 'pid')).text), Number((await callTool(client, 'family')).text)]
  t.ok(pids.every(isAlive))
  await service.app.close()
  t.notOk(isAlive(pids[0] ?? 0))
  await until(() => !isAlive(pids[1] ?? 0))
})

t.test('kill -9 of ours leaves no process either', async t => {
  const script = join(root, 'test/hosted/killed-host.ts')
  const host = spawn(process.execPath, ['--import', 'tsx', script], { stdio: ['ignore', 'pipe', 'inherit'] })
  t.teardown(() => { host.kill('SIGKILL') })
  let text = ''
  for await (const chunk of host.stdout) {
    text += String(chunk)
    if (text.includes('\n')) break
  }
  const pids = text.trim().split(' ').map(Number)
  t.equal(pids.length, 2)
  t.ok(pids.every(isAlive))
  const exited = once(host, 'exit')
  host.kill('SIGKILL')
  await exited
  await until(() => !pids.some(isAlive))
})

t.test('standard error output is in the log, with the session, and bounded', async t => {
  const lines: Array<{ stderr?: string, sessionId?: string }> = []
  const service = await hostPlain(t)
  const info = service.app.log.info.bind(service.app.log)
  t.intercept(service.app.log, 'info', {
    value: (details: object, ...more: unknown[]) => {
      lines.push(details)
      info(details, ...more.map(String))
    }
  })
  const client = await new RawClient(service).connect()
  await callTool(client, 'whisper', { lines: 200 })
  await until(() => lines.some(({ stderr }) => stderr === 'line 99'))
  t.match(lines.find(({ stderr }) => stderr === 'line 0'), { sessionId: client.sessionId })
  t.equal(lines.filter(({ stderr }) => stderr !== undefined).length, 100)
})

t.test('options that cannot be meant are refused', async t => {
  const refused: Array<[options: object, message: RegExp]> = [
    [{ command: '' }, /command is ""; it takes the name or path of a program\.$/],
    [{ command: undefined }, /^stdioServer: command is missing; it takes/],
    [{ args: ['a\0b'] }, /args\[0\] is a text of 3 characters; it takes/],
    [{ args: ['${upstreamAccessToken}'] }, /args is seen by others/],
    [{ args: ['${claim.email}'] }, /names \$\{claim.email\}, which there is not/],
    [{ env: { 'A B': 'secret' } }, /env is an object; it takes texts/],
    [{ env: { A: 1 } }, /env is an object; it takes texts/],
    [{ inheritEnv: ['A B'] }, /inheritEnv\[0\] is "A B"; it takes the name/],
    [{ cwd: '/data/${subject}' }, /use \$\{personId\}/],
    [{ per: 'all' }, /per is "all"; it takes person, session or shared\.$/],
    [{ per: 'shared', env: { WHO: '${subject}' } }, /of one person/],
    [{ limits: { maxProcesses: 0 } }, /limits\.maxProcesses is 0; it takes a whole number from 1/],
    // a timer of so long would ring at once
    [{ limits: { idleSeconds: Infinity } }, /limits\.idleSeconds is Infinity; it takes/],
    [{ limits: { maxProceses: 1 } }, /limits\.maxProceses is not an option; those that there are: maxProcesses, /],
    [{ shell: true }, /shell is not an option/]
  ]
  for (const [options, message] of refused) t.throws(() => stdioServer({ command: 'x', ...options }), { message })
})
