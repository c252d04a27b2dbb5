import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { scriptArguments } from '../test/support/script-arguments.js'
import { build } from './build.js'
import type { LoadCalls } from './load/main.js'
import { canPin, Child } from './processes.js'
import type { ServerCalls } from './servers/served.js'
import { CONNECTIONS, LOAD_CORE, SERVER_CORE } from './workloads.js'

export interface Comparison<V extends string> {
  /** How the script is called. */
  usage: string
  /** Of `bench/servers`, compiled. */
  server: string
  /** What is compared, the reference first. */
  variants: readonly [V, ...V[]]
  /** Parameters of the server. @param folder of its own, for what it writes */
  parametersOf: (variant: V, folder: string) => readonly string[]
  /** How often all begin again. Default: 8, which is good for three hundredths. */
  starts?: number
  /** Before a process is measured. Default: 3000. */
  warmUpMs?: number
  /** Which variant must leave how much of the reference; absent: none. */
  least?: { variant: V, ratio: number, says: string }
}

// it may start a process for each connection
const CONNECT_MS = 180_000

const say = (text: string) => { process.stdout.write(`${text}\n`) }
const median = (values: readonly number[]) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0

/** The memory of a process, and of those that it has started. Pages that several share count in parts (Linux). */
function weigh (pid: number): string {
  if (!existsSync('/proc/self/smaps_rollup')) return 'memory unknown'
  const read = (id: string | number, file: string) => readFileSync(`/proc/${id}/${file}`, 'utf8')
  const toMiB = (id: string | number) => Number(/^Pss:\s+(\d+)/m.exec(read(id, 'smaps_rollup'))?.[1]) / 1024
  const children = read(pid, `task/${pid}/children`).split(' ').filter(id => id !== '')
  const own = `${toMiB(pid).toFixed(0)} MiB`
  if (children.length === 0) return own
  return `${own}, and ${children.length} processes of ${median(children.map(toMiB)).toFixed(0)} MiB`
}

/** What was measured of a variant, turn by turn. */
interface Turns {
  speeds: number[]
  /** Microseconds of the server's CPU for each call. */
  costs: number[]
  memory: string
}

interface Running {
  server: Child<ServerCalls>
  /** A process of its own, which keeps its connections from turn to turn. */
  load: Child<LoadCalls>
  turns: Turns
}

/**
 * Measures W1 with each variant. All have a process, and take short turns: what the machine does besides changes from
 * second to second, and so it meets all of them alike. A round gives each the ratio of its speed to the reference's.
 * After some rounds all begin again, in another order: two processes with the same code differ by up to a tenth for as
 * long as they run, as V8 happens to optimize it. Too low a median of the ratios fails.
 */
export async function compare<V extends string> (comparison: Comparison<V>): Promise<void> {
  const { variants, usage, starts = 8, warmUpMs = 3000 } = comparison
  const turns = `[--starts ${starts}] [--rounds 4] [--warm-up ${warmUpMs}] [--measured 1000]`
  const { number } = scriptArguments(`${usage} ${turns}`)
  if (!canPin) say('Server and load share their cores here (no taskset, or one core): the figures will vary.')
  const all = new Map<V, Turns>(variants.map(variant => [variant, { speeds: [], costs: [], memory: '' }]))
  const compiled = build()
  try {
    for (let start = 0; start < number('starts'); start++) {
      const folder = mkdtempSync(join(tmpdir(), 'bench-compare-'))
      const first = start % variants.length
      const running = [...all].map(([variant, turns]): Running => ({
        server: new Child<ServerCalls>(join(compiled, `bench/servers/${comparison.server}.js`), SERVER_CORE, {
          script: comparison.parametersOf(variant, mkdtempSync(join(folder, 'server-')))
        }),
        load: new Child<LoadCalls>(join(compiled, 'bench/load/main.js'), LOAD_CORE),
        turns
      }))
      try {
        await takeTurns([...running.slice(first), ...running.slice(0, first)], {
          rounds: number('rounds'), warmUpMs: number('warm-up'), measuredMs: number('measured')
        })
      } finally {
        for (const { server, load } of running) await Promise.all([load.end(), server.end()])
        rmSync(folder, { recursive: true })
      }
    }
  } finally {
    rmSync(compiled, { recursive: true })
  }
  report(comparison, all)
}

async function takeTurns (
  all: readonly Running[],
  { rounds, warmUpMs, measuredMs }: { rounds: number, warmUpMs: number, measuredMs: number }
): Promise<void> {
  for (const { server, load } of all) {
    await load.call('connect', { port: await server.call('port'), connections: CONNECTIONS }, CONNECT_MS)
    await load.call('callTools', warmUpMs)
  }
  for (let round = 1; round <= rounds; round++) {
    for (const { server, load, turns } of round % 2 === 0 ? all : all.toReversed()) {
      const before = await server.call('cpu')
      const { count, seconds } = await load.call('callTools', measuredMs)
      turns.speeds.push(count / seconds)
      turns.costs.push((await server.call('cpu') - before) / count)
    }
  }
  for (const { server, turns } of all) turns.memory = weigh(server.pid)
}

function report<V extends string> ({ variants, least }: Comparison<V>, all: ReadonlyMap<V, Turns>): void {
  const reference = all.get(variants[0])
  const ratioOf = (values: readonly number[], base: readonly number[] = []) =>
    median(values.map((value, turn) => value / (base[turn] ?? NaN)))
  for (const [variant, { speeds, costs, memory }] of all) {
    const ratio = ratioOf(speeds, reference?.speeds)
    say(
      `${variant}: ${Math.round(median(speeds))}/s, ratio ${ratio.toFixed(3)}; ` +
      `${median(costs).toFixed(1)} µs of CPU a call, ratio ${ratioOf(costs, reference?.costs).toFixed(3)}; ${memory}`
    )
    if (least?.variant !== variant || ratio >= least.ratio) continue
    say(least.says)
    process.exitCode = 1
  }
}
