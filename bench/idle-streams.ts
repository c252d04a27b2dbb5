import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { startRedis } from '../test/replicas/cluster.js'
import { end } from '../test/replicas/processes.js'
import { freePort } from '../test/support/free-port.js'
import { scriptArguments } from '../test/support/script-arguments.js'
import { build } from './build.js'
import type { FloodedCalls } from './load/flooded.js'
import type { IdleCalls } from './load/idling.js'
import { Child } from './processes.js'
import type { IdlingCalls } from './servers/idling.js'

/*
 * Sessions with an idle stream each, in one process: how long its event loop stalls while heartbeats and housekeeping
 * go round, and how long another person waits meanwhile. Each stream takes a file descriptor: `ulimit -n`.
 */
const { number } = scriptArguments('npx tsx bench/idle-streams.ts [--streams 19500] [--seconds 75]')
const [count, seconds] = [number('streams'), number('seconds')]
const OPEN_MS = 300_000

const compiled = build()
const dir = mkdtempSync(join(tmpdir(), 'bench-idle-'))
const redisPort = await freePort()
const redis = await startRedis(dir, redisPort)
const script = (name: string) => join(compiled, 'bench', `${name}.js`)

async function measure (store: string, parameters: readonly string[]): Promise<void> {
  const server = new Child<IdlingCalls>(script('servers/idling'), 0, {
    node: ['--expose-gc'],
    script: [String(count), ...parameters]
  })
  const idle = new Child<IdleCalls>(script('load/idling'), 1)
  const other = new Child<FloodedCalls>(script('load/flooded'), 1)
  try {
    const url = await server.call('url')
    const open = await idle.call('open', { port: new URL(url).port, count }, OPEN_MS)
    await other.call('beginOthers', { url, era: 'session' })
    await server.call('begin')
    await delay(seconds * 1000)
    const { stallMs, p999Ms, rss } = await server.call('strain')
    const { calls, slowestMs } = await other.call('endOthers')
    const held = await idle.call('held')
    const [stall, late, slowest] = [stallMs, p999Ms, slowestMs].map(Math.round)
    process.stdout.write(
      `${store}: ${open} streams, ${held} after ${seconds} s; longest stall ${stall} ms (99.9 %: ${late} ms), ` +
        `slowest of ${calls} other calls ${slowest} ms, RSS ${Math.round(rss / 1e6)} MB\n`
    )
  } finally {
    await Promise.all([server.end(), idle.end(), other.end()])
  }
}

try {
  await measure('memory', [])
  await measure('Redis', [`redis://127.0.0.1:${redisPort}`])
} finally {
  await end(redis, 'SIGKILL')
  for (const folder of [dir, compiled]) rmSync(folder, { recursive: true })
}
