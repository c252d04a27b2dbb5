import assert from 'node:assert/strict'
import { join } from 'node:path'
import { startDemoUpstream } from '../../src/demo/upstream.js'
import { readEvents } from '../support/raw-http.js'
import { logInAt, RawSession } from '../support/raw-session.js'
import { Report } from '../support/report.js'
import { root } from '../support/root.js'
import { scriptArguments } from '../support/script-arguments.js'
import { freePort } from '../support/free-port.js'
import { installed, nodeOf, run } from './installed.js'
import { sdk1Http, sdk1Sse, sdk2 } from './journeys.js'
import { visitAtOnce } from './visits.js'
import { useSample } from '../hosted/uses.js'
import { startProcess } from './service-process.js'

/*
 * The build under each runtime.
 * The clients, and the upstream where there is one outside, run in the Node.js that runs this.
 */
const { positionals: chosen } = scriptArguments('npx tsx test/e2e/runtimes.ts [node20 node22 node24 bun]')
const runtimes: Record<string, () => Promise<string>> = {
  node20: () => nodeOf('20'),
  node22: () => nodeOf('22'),
  node24: () => nodeOf('24'),
  bun: async () => join(await installed('bun', '1'), 'bin/bun.exe')
}

/** A stream that breaks off is resumed with its last event id, on to the result. */
async function resumption (url: string): Promise<void> {
  const session = await RawSession.open(url, await logInAt(url))
  const call = session.toolCall('countdown', { from: 5, intervalMs: 50 })
  let lastEventId: string | undefined
  for await (const { id, data } of readEvents(await session.post(url, call))) {
    lastEventId = id
    // leaving the loop breaks the stream off
    if (data.includes('notifications/progress')) break
  }
  assert.ok(lastEventId !== undefined, 'the events have ids')
  const rest: string[] = []
  for await (const { data } of readEvents(await session.get(url, lastEventId))) {
    rest.push(data)
    if (data.includes('Lift-off!')) break
  }
  assert.equal(rest.filter(data => data.includes('notifications/progress')).length, 4, 'the other four steps')
  assert.ok((await session.delete(url)).ok)
  assert.equal((await session.post(url, session.toolCall('add', { l: 2, r: 3 }))).status, 404, 'the session is gone')
}

/** What the runtime serves: the build, with an upstream outside of it or its own demo upstream. */
async function examine (report: Report, runtime: string, binary: string, demoUpstream: boolean): Promise<void> {
  const upstream = demoUpstream ? undefined : await startDemoUpstream({ port: 0 })
  const port = String(await freePort())
  const name = `${runtime}${demoUpstream ? ', with the demo upstream in it' : ''}`
  const environment = {
    PORT: port,
    DEMO_UPSTREAM_PORT: String(await freePort()),
    ...upstream && { OAUTH_ISSUER_URL: upstream.issuer }
  }
  try {
    await report.attempt(`${name}: starts, serves, and ends`, async () => {
      const service = await startProcess(`http://localhost:${port}`, [binary, 'dist/server.js'], environment)
      try {
        await report.attempt(
          `${name}: SDK 1.x, Streamable HTTP: login, add, progress, refresh, DELETE`,
          () => visitAtOnce(sdk1Http, service.url, useSample)
        )
        if (demoUpstream) return
        await report.attempt(`${name}: SDK 1.x, HTTP+SSE`, () => visitAtOnce(sdk1Sse, service.url, useSample))
        await report.attempt(`${name}: SDK 2.x, 2026-07-28`, () => visitAtOnce(sdk2('auto'), service.url, useSample))
        await report.attempt(
          `${name}: a broken stream is resumed; DELETE ends the session`,
          () => resumption(service.url)
        )
        await report.attempt(`${name}: /readyz, /metrics, the home page`, async () => {
          for (const path of ['/readyz', '/metrics', '/']) {
            assert.equal((await fetch(service.url + path, { headers: { accept: 'text/html' } })).status, 200, path)
          }
        })
      } finally {
        const code = await service.stop()
        report.check(`${name}: SIGTERM ends it with 0 (${code})`, code === 0)
      }
    })
  } finally {
    await upstream?.close()
  }
}

await run('npm', ['run', 'build'], { cwd: root })
const report = new Report(`dist/server.js, ${new Date().toISOString().slice(0, 10)}`)
for (const [runtime, binaryOf] of Object.entries(runtimes)) {
  if (chosen.length > 0 && !chosen.includes(runtime)) continue
  const binary = await binaryOf()
  const { stdout } = await run(binary, ['--version'])
  report.say(`${runtime} ${stdout.trim()}`)
  await examine(report, runtime, binary, false)
  await examine(report, runtime, binary, true)
}
report.end()
