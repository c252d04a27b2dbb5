import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { freePort } from '../support/free-port.js'
import { logInAt, RawSession } from '../support/raw-session.js'
import { refresh } from '../support/oauth-flow.js'
import { valueAt } from '../support/json.js'
import { runFile } from './service-process.js'

/** A service, with its demo upstream, that keeps its state in a directory and comes back at its ports. */
async function restartable (t: Test, DATA_DIR: string) {
  const [PORT, DEMO_UPSTREAM_PORT] = [String(await freePort()), String(await freePort())]
  const environment = { PORT, DEMO_UPSTREAM_PORT, DATA_DIR, LOG_LEVEL: 'warn' }
  const start = async () => {
    const running = runFile(t, 'src/server', environment)
    await running.line(/MCP server: /)
    return running
  }
  return { url: `http://localhost:${PORT}`, environment, start }
}

for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
  t.test(`after ${signal} and a new start, people are logged in and sessions continue`, async t => {
    const { url, start } = await restartable(t, join(t.testdir(), 'data'))
    const first = await start()
    const login = await logInAt(url)
    const session = await RawSession.open(url, login)
    t.match(await session.call(url, 'add', { l: 2, r: 3 }), { end: 'result', text: '5' })
    first.kill(signal)
    await first.exited
    const second = await start()
    t.match(await session.call(url, 'add', { l: 2, r: 4 }), { end: 'result', text: '6' }, 'the session, with its token')
    const { status, body } = await refresh({ url, fetch }, login.client, login.refreshToken)
    t.equal(status, 200, 'the refresh, for which the demo upstream is asked')
    t.type(valueAt(body, 'refresh_token'), 'string')
    t.same(second.output.filter(line => line.startsWith('{')), [], 'nothing to warn of')
  })
}

t.test('what is kept is for this user alone', async t => {
  const directory = join(t.testdir(), 'data')
  const { url, start } = await restartable(t, directory)
  const running = await start()
  await logInAt(url)
  const names = readdirSync(directory)
  for (const name of ['state.sqlite', 'demo-login.sqlite', 'encryption-key']) t.ok(names.includes(name), name)
  for (const name of names.filter(name => name !== '.gitignore')) {
    t.equal(statSync(join(directory, name)).mode & 0o077, 0, name)
  }
  running.kill('SIGKILL')
})

t.test('a second process on the same directory is refused in one line', async t => {
  const { environment, start } = await restartable(t, join(t.testdir(), 'data'))
  await start()
  const second = runFile(t, 'src/server', {
    ...environment,
    PORT: String(await freePort()),
    DEMO_UPSTREAM_PORT: String(await freePort())
  })
  t.equal(await second.exited, 1)
  t.match(second.output, [/state\.sqlite cannot be used: another process.* has opened it\. [^\n]+$/])
})
