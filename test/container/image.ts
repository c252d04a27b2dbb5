import assert from 'node:assert/strict'
import * as z from 'zod'
import { startDemoUpstream } from '../../src/demo/upstream.js'
import { sdk1Http, sdk1Sse, sdk2 } from '../e2e/journeys.js'
import { visitAtOnce } from '../e2e/visits.js'
import { useSample } from '../hosted/uses.js'
import { parseJson } from '../support/json.js'
import { logInAt, RawSession } from '../support/raw-session.js'
import { Report } from '../support/report.js'
import { root } from '../support/root.js'
import { freePort } from '../support/free-port.js'
import { answers, docker, IMAGE, inside, until } from './docker.js'

/*
 * The image, built and run by Docker: npx tsx test/container/image.ts [arguments for docker build]
 * The container shares the network of this machine, as its upstream listens on loopback.
 */
const report = new Report(`The image, with Docker ${await docker('version', '--format', '{{.Server.Version}}')}`)
await docker('build', ...process.argv.slice(2), '--tag', IMAGE, root)
const layers = (await docker('history', '--human=false', '--format', '{{.Size}} {{.CreatedBy}}', IMAGE)).split('\n')
const bytes = (of: readonly string[]) => of.reduce((sum, layer) => sum + Number.parseInt(layer), 0)
const ours = layers.slice(0, layers.findIndex(layer => layer.includes('NODE_ENV=production')))
report.figure(
  'size',
  `${Math.round(bytes(layers) / 1e6)} MB, of which ${Math.round(bytes(ours) / 1e6)} MB stand above node:24-slim`
)

const upstream = await startDemoUpstream({ port: 0 })
const port = await freePort()
const url = `http://localhost:${port}`
const environment = { HOST: '127.0.0.1', PORT: String(port), PUBLIC_URL: url, OAUTH_ISSUER_URL: upstream.issuer }
const container = await docker(
  'run',
  '--detach',
  '--read-only',
  '--cap-drop',
  'ALL',
  '--security-opt',
  'no-new-privileges',
  '--network',
  'host',
  // the Dockerfile's check, more often
  '--health-interval',
  '1s',
  ...Object.entries(environment).flatMap(([name, value]) => ['--env', `${name}=${value}`]),
  IMAGE
)
const inspect = async (format: string) => await docker('inspect', '--format', format, container)
const health = async (status: string) => {
  await until(status, async () => await inspect('{{.State.Health.Status}}') === status)
}
const evaluate = async (script: string) =>
  (await inside(container, ['node', '-e', `const fs = require('fs'); console.log(${script})`])).output
// [CMD, node, -e, …]
const check = parseJson(
  await docker('inspect', '--format', '{{json .Config.Healthcheck.Test}}', IMAGE),
  z.array(z.string())
)

try {
  await until('it serves', () => answers(`${url}/healthz`))
  await report.attempt('process 1 is Node.js itself, without an init', async () => {
    assert.equal(
      await evaluate("fs.readFileSync('/proc/1/cmdline', 'latin1').split('\\0').join(' ')"),
      'node dist/cli.js serve'
    )
    assert.match(await inspect('{{.HostConfig.Init}}'), /^(false|<nil>)$/)
  })
  await report.attempt('it is not root, and has no capability and no way to one', async () => {
    assert.equal(await evaluate("[process.getuid(), process.getgid()].join(':')"), '1000:1000')
    const status = await evaluate("fs.readFileSync('/proc/1/status', 'utf8')")
    for (
      const line of [/^Uid:\s+1000\s+1000\s+1000\s+1000$/m, /^CapPrm:\s+0+$/m, /^CapEff:\s+0+$/m, /^NoNewPrivs:\s+1$/m]
    ) assert.match(status, line)
  })
  await report.attempt('its state is in /data, with a key that others cannot read', async () => {
    assert.deepEqual(
      (await evaluate("fs.readdirSync('/data').join(' ')")).split(' ').filter(name => !/-(wal|shm)$/.test(name)).sort(),
      ['encryption-key', 'state.sqlite']
    )
    assert.equal(await evaluate("(fs.statSync('/data/encryption-key').mode & 0o777).toString(8)"), '600')
  })
  await report.attempt('otherwise it can write nowhere: /app, /tmp and its home are read-only', async () => {
    for (const folder of ['/app', '/tmp', '/home/node']) {
      assert.equal(
        await evaluate(
          `(() => { try { fs.writeFileSync('${folder}/x', ''); return 'written' } catch ({ code }) { return code } })()`
        ),
        'EROFS',
        folder
      )
    }
  })
  await report.attempt('its health check says healthy', async () => { await health('healthy') })
  await report.attempt('SDK 1.x, Streamable HTTP: login, add, progress, refresh', () =>
    visitAtOnce(sdk1Http, url, useSample))
  await report.attempt('SDK 1.x, HTTP+SSE', () => visitAtOnce(sdk1Sse, url, useSample))
  await report.attempt('SDK 2.x, 2026-07-28', () => visitAtOnce(sdk2('auto'), url, useSample))
  await report.attempt('its health check says unhealthy while the process hangs, and healthy again', async () => {
    await docker('kill', '--signal', 'STOP', container)
    await health('unhealthy')
    await docker('kill', '--signal', 'CONT', container)
    await health('healthy')
  })
  await report.attempt('its health check fails where nobody listens', async () => {
    const [, program = '', ...args] = check
    await assert.rejects(
      docker('run', '--rm', '--network', 'none', '--entrypoint', program, IMAGE, ...args),
      { code: 1 }
    )
  })
  await report.attempt(
    'docker stop, with streams open: it drains, ends the streams with a retry hint, and exits with 0',
    async () => {
      const login = await logInAt(url)
      const session = await RawSession.open(url, login)
      const streams = [
        await session.get(url),
        await fetch(`${url}/sse`, {
          headers: { accept: 'text/event-stream', authorization: `Bearer ${login.accessToken}` }
        })
      ]
      const ends = streams.map(async stream => await stream.text())
      const began = Date.now()
      const stopped = docker('stop', '--time', '25', container)
      await until('/readyz fails', () => answers(`${url}/readyz`, 503))
      assert.equal(
        (await inside(container, check.slice(1))).code,
        0,
        'it is alive while it drains: nobody shall kill it'
      )
      assert.equal((await session.call(url, 'add', { l: 2, r: 3 })).end, 'result', 'and serves')
      for (const text of await Promise.all(ends)) assert.match(text, /^retry: \d+$/m)
      await stopped
      report.figure(
        'from SIGTERM to the end',
        `${((Date.now() - began) / 1000).toFixed(1)} s, of which SHUTDOWN_DELAY_SECONDS are 5`
      )
      assert.equal(await inspect('{{.State.ExitCode}} {{.State.OOMKilled}}'), '0 false')
    }
  )
} finally {
  await docker('rm', '--force', container)
  await upstream.close()
}
report.end()
