import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startRedis } from '../test/replicas/cluster.js'
import { end } from '../test/replicas/processes.js'
import { freePort } from '../test/support/free-port.js'
import { scriptArguments } from '../test/support/script-arguments.js'
import { build } from './build.js'
import type { Era, FloodedCalls } from './load/flooded.js'
import { Child } from './processes.js'
import type { FloodingCalls } from './servers/flooding.js'

/*
 * A tool that sends 100,000 notifications, with `await` or in one go; a client that reads as fast as it can, and
 * another person who calls meanwhile. First what the tool's loop and the SDK cost without this project: over a
 * transport that does nothing, and over the SDK's own. Each line has a process to itself.
 */
const { number, flag, positionals } = scriptArguments(
  'npx tsx bench/floods.ts [TITLE] [--count 100000] [--bytes 20] [--profile]'
)
const [count, bytes] = [number('count'), number('bytes')]
const HOW = ['awaited', 'in one go', 'in one go, counted']
const SERVER_CORE = 0
const LOAD_CORE = 1
const PATIENCE_MS = 120_000

const SERVERS: ReadonlyArray<{ title: string, era: Era, server: string, mode?: string }> = [
  { title: 'session (2025-11-25)', era: 'session', server: 'sdk1' },
  { title: 'session, its own stream', era: 'session, its own stream', server: 'sdk1' },
  { title: 'stateless session mode', era: 'stateless mode', server: 'sdk1', mode: 'stateless' },
  { title: '2026-07-28, SDK 2.x', era: '2026-07-28', server: 'sdk2' },
  { title: '2026-07-28, SDK 1.x', era: '2026-07-28', server: 'sdk1' },
  { title: 'HTTP+SSE', era: 'HTTP+SSE', server: 'sdk1' }
]

const compiled = build()
const dir = mkdtempSync(join(tmpdir(), 'bench-floods-'))
const redisPort = await freePort()
const redis = await startRedis(dir, redisPort)

const print = (cells: ReadonlyArray<string | number>) => {
  const widths = [52, 8, 8, 8, 9, 12, 10, 8, 9]
  const text = cells.map((cell, index) =>
    String(typeof cell === 'number' ? Math.round(cell) : cell).padEnd(widths[index] ?? 0)
  )
  process.stdout.write(`${text.join(' ').trimEnd()}\n`)
}

const script = (name: string) => join(compiled, 'bench', `${name}.js`)

function startServer (parameters: readonly string[]): Child<FloodingCalls> {
  const profile = flag('profile') ? ['--cpu-prof', '--cpu-prof-dir', 'profiles'] : []
  return new Child<FloodingCalls>(script('servers/flooding'), SERVER_CORE, {
    node: ['--expose-gc', ...profile],
    script: parameters
  })
}

async function measure (title: string, era: Era, how: string, parameters: readonly string[]): Promise<void> {
  if (!positionals.every(word => `${title}, ${how}`.includes(word))) return
  const server = startServer(parameters)
  const reader = new Child<FloodedCalls>(script('load/flooded'), LOAD_CORE)
  const other = new Child<FloodedCalls>(script('load/flooded'), LOAD_CORE)
  try {
    const url = await server.call('url')
    const args = {
      count,
      bytes,
      isOfSession: era === 'session, its own stream',
      isAwaited: how === HOW[0],
      isCounted: how === HOW[2]
    }
    // compiled, and connected
    await reader.call('flood', { url, era, args: { ...args, count: 100 } })
    await other.call('beginOthers', { url, era })
    await server.call('begin')
    const began = performance.now()
    const got = await reader.call('flood', { url, era, args }, PATIENCE_MS).catch((error: unknown) => (
      { count: 0, inOrder: false, end: String(error) }
    ))
    const ms = performance.now() - began
    const { calls, slowestMs } = await other.call('endOthers')
    const { loopMs, loopCpuMs, stallMs, rssMb } = await server.call('strain')
    const arrived = `${got.count}${got.inOrder ? '' : ', NOT in order'}`
    const answered = `${Math.round(slowestMs)}/${calls}`
    print([`${title}, ${how}`, arrived, loopMs, loopCpuMs, stallMs, answered, ms, rssMb, got.end.slice(0, 90)])
  } finally {
    await Promise.all([server.end(), reader.end(), other.end()])
  }
}

try {
  process.stdout.write(`${count} notifications of ${bytes} bytes; Node ${process.version}\n`)
  print(['', 'arrived', 'loop ms', '(CPU)', 'stall ms', 'others ms/n', 'all ms', 'RSS MB', 'end'])
  if (positionals.length === 0) {
    const server = startServer(['bare'])
    await server.call('sendToNobody', 100)
    const { loopMs, loopCpuMs, stallMs, rssMb } = await server.call('sendToNobody', count)
    print(['a transport that does nothing', '-', loopMs, loopCpuMs, stallMs, '-', '-', rssMb])
    await server.end()
  }
  for (const how of HOW) await measure('the SDK alone', 'bare SDK', how, ['bare'])
  for (const { title, era, server, mode = 'stateful' } of SERVERS) {
    for (const [store, url] of [['memory', []], ['Redis', [`redis://127.0.0.1:${redisPort}`]]] as const) {
      for (const how of HOW) {
        await measure(`${title}, ${store}`, era, how, [server, mode, '30000', ...url])
      }
    }
  }
} finally {
  await end(redis, 'SIGKILL')
  for (const folder of [dir, compiled]) rmSync(folder, { recursive: true })
}
