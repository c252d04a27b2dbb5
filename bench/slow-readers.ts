import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { startRedis } from '../test/replicas/cluster.js'
import { end } from '../test/replicas/processes.js'
import { freePort } from '../test/support/free-port.js'
import { scriptArguments } from '../test/support/script-arguments.js'
import { build } from './build.js'
import type { Era, FloodedCalls, Got } from './load/flooded.js'
import { Child } from './processes.js'
import type { FloodingCalls } from './servers/flooding.js'

/*
 * A client that reads two megabytes a second, and one that reads nothing after the first bytes, in every era: what
 * arrives, how many bytes wait for it, when and how that ends, whether it can resume, and how long another person
 * waits meanwhile; and before, which says how busy the machine is. Each line has a process to itself.
 */
const { number, positionals } = scriptArguments(
  'npx tsx bench/slow-readers.ts [TITLE] [--speed 2000000] [--stalled 5000]'
)
const [bytesPerSecond, stalledMs] = [number('speed'), number('stalled')]
const PATIENCE_MS = 90_000

/** What the server sends. */
const SHAPES = {
  '20 MB, awaited': { count: 2000, bytes: 10_000, isAwaited: true },
  '40 MB in one go': { count: 4000, bytes: 10_000, isAwaited: false },
  'a result of 10 MB': { count: 0, bytes: 0, isAwaited: true, result: 10_000_000 }
}

const SERVERS: ReadonlyArray<{ era: Era, title: string, server: string, mode?: string }> = [
  { era: 'session', title: 'session', server: 'sdk1' },
  { era: 'stateless mode', title: 'stateless session mode', server: 'sdk1', mode: 'stateless' },
  { era: '2026-07-28', title: '2026-07-28, SDK 2.x', server: 'sdk2' },
  { era: '2026-07-28', title: '2026-07-28, SDK 1.x', server: 'sdk1' },
  { era: 'HTTP+SSE', title: 'HTTP+SSE', server: 'sdk1' }
]

// 16 MiB for one stream, the message that crosses that, and the response
const MOST_HELD_MB = 18
const MOST_RSS_MB = 256
/** What others wait at most; on a busy machine, twice what they waited before. */
const MOST_OTHERS_MS = 200
const BEFORE_MS = 2000
/** Responses are weighed twice a second; the rest is for two busy cores. */
const LATE_MS = 2000

const compiled = build()
const dir = mkdtempSync(join(tmpdir(), 'bench-slow-'))
const redisPort = await freePort()
const redis = await startRedis(dir, redisPort)
const failures: string[] = []
const script = (name: string) => join(compiled, 'bench', `${name}.js`)

const print = (cells: ReadonlyArray<string | number>) => {
  const widths = [62, 10, 8, 7, 12, 13, 44, 34]
  const text = cells.map((cell, index) => String(cell).padEnd(widths[index] ?? 0))
  process.stdout.write(`${text.join(' ').trimEnd()}\n`)
}

interface Line {
  title: string
  era: Era
  shape: keyof typeof SHAPES
  isStalled: boolean
  parameters: readonly string[]
}

interface Seen {
  got: Got
  ms: number
  heldMb: number
  rssMb: number
  othersMs: number
  mayWaitMs: number
  beforeMs: number
}

/** What does not hold. */
function findFaults ({ era, shape, isStalled }: Line, seen: Seen): string[] {
  const { got, ms, heldMb, rssMb, othersMs, mayWaitMs } = seen
  const isComplete = got.end.startsWith('sent ') && got.inOrder && got.count === SHAPES[shape].count
  const isRefused = !SHAPES[shape].isAwaited && got.end.includes('-32000')
  // the quiet call of a session is answered with JSON, which nobody can resume
  const mayResume = era === 'session' && SHAPES[shape].count > 0
  const ending = got.resumed?.end ?? ''
  return [
    ...isStalled && !got.end.startsWith('cut') ? ['was not disconnected'] : [],
    ...isStalled && ms > stalledMs + LATE_MS ? ['late'] : [],
    ...isStalled && mayResume && !ending.startsWith('sent ') && !ending.includes('-32000') ? ['not resumed'] : [],
    ...!isStalled && !isComplete && !isRefused ? ['incomplete'] : [],
    ...heldMb > MOST_HELD_MB ? ['held too much'] : [],
    ...rssMb > MOST_RSS_MB ? ['memory'] : [],
    ...othersMs > mayWaitMs ? ['others waited'] : []
  ]
}

async function look (line: Line): Promise<Seen> {
  const { era, shape, isStalled, parameters } = line
  const server = new Child<FloodingCalls>(script('servers/flooding'), 0, {
    node: ['--expose-gc'],
    script: parameters
  })
  const reader = new Child<FloodedCalls>(script('load/flooded'), 1)
  const other = new Child<FloodedCalls>(script('load/flooded'), 1)
  try {
    const url = await server.call('url')
    // compiled, and connected
    await reader.call('flood', { url, era, args: { ...SHAPES[shape], count: 100, bytes: 20, result: 1 } })
    await other.call('beginOthers', { url, era })
    await delay(BEFORE_MS)
    const { slowestMs: beforeMs } = await other.call('endOthers')
    await other.call('beginOthers', { url, era })
    await server.call('begin')
    const began = performance.now()
    const reading = reader.call('flood', {
      url, era, args: SHAPES[shape], ...isStalled ? { isStalled } : { bytesPerSecond }
    }, PATIENCE_MS)
    if (!isStalled) await reading
    const held = await server.call('readerIsOver', undefined, PATIENCE_MS)
    const ms = performance.now() - began
    await reader.call('goOn')
    const got = await reading
    const { slowestMs } = await other.call('endOthers')
    const { rssMb, loopMs } = await server.call('strain')
    // nobody is served while a tool does not leave its loop
    const ownMs = SHAPES[shape].isAwaited ? 0 : loopMs
    const mayWaitMs = Math.max(MOST_OTHERS_MS, 2 * beforeMs) + ownMs
    return { got, ms, heldMb: held / 1e6, rssMb, othersMs: slowestMs, mayWaitMs, beforeMs }
  } finally {
    await Promise.all([server.end(), reader.end(), other.end()])
  }
}

async function measure (line: Line, store: string): Promise<void> {
  const name = `${line.title}, ${store}, ${line.isStalled ? 'stalled' : 'slow'}, ${line.shape}`
  if (!positionals.every(word => name.includes(word))) return
  const seen = await look(line)
  const { got, ms, heldMb, rssMb, othersMs, beforeMs } = seen
  const faults = findFaults(line, seen)
  if (faults.length > 0) failures.push(name)
  print([
    name,
    (got.bytes / 1e6).toFixed(1),
    heldMb.toFixed(1),
    Math.round(rssMb),
    `${Math.round(othersMs)} (${Math.round(beforeMs)})`,
    (ms / 1000).toFixed(1),
    got.end.slice(0, 42),
    got.resumed === undefined ? '-' : `${(got.resumed.bytes / 1e6).toFixed(1)} MB, ${got.resumed.end.slice(0, 20)}`,
    faults.length === 0 ? 'holds' : `does not hold: ${faults.join(', ')}`
  ])
}

try {
  process.stdout.write(`${bytesPerSecond / 1e6} MB/s, or stalled for ${stalledMs} ms; Node ${process.version}\n`)
  print(['', 'arrived MB', 'held MB', 'RSS MB', 'others ms', 'over after s', 'how', 'resumed', ''])
  for (const { title, era, server, mode = 'stateful' } of SERVERS) {
    for (const [store, url] of [['memory', []], ['Redis', [`redis://127.0.0.1:${redisPort}`]]] as const) {
      for (const isStalled of [false, true]) {
        for (const shape of ['20 MB, awaited', '40 MB in one go', 'a result of 10 MB'] as const) {
          const parameters = [server, mode, String(stalledMs), ...url]
          await measure({ title, era, shape, isStalled, parameters }, store)
        }
      }
    }
  }
  process.stdout.write(failures.length === 0 ? 'All hold.\n' : `${failures.length} do not hold.\n`)
  if (failures.length > 0) process.exitCode = 1
} finally {
  await end(redis, 'SIGKILL')
  for (const folder of [dir, compiled]) rmSync(folder, { recursive: true })
}
