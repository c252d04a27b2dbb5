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

interface Measured<V> {
  variant: V
  server: Child<ServerCalls>
  /** A process of its own, which keeps its connections from turn to turn. */
  load: Child<LoadCalls>
  speeds: number[]
  /** Microseconds of the server's CPU for each call. */
  costs: number[]
}

/**
 * Measures W1 with each variant. All have a process, and take short turns: what the machine does besides changes from
 * second to second, and so it meets all of them alike. A round gives each the ratio of its speed to the reference's;
 * too low a median of these fails.
 */
export async function compare<V extends string> (
  { usage, server: script, variants, parametersOf, least }: Comparison<V>
): Promise<void> {
  const { number } = scriptArguments(`${usage} [--rounds 30] [--warm-up 6000] [--measured 1000]`)
  const [rounds, warmUpMs, measuredMs] = [number('rounds'), number('warm-up'), number('measured')]
  if (!canPin) say('Server and load share their cores here (no taskset, or one core): the figures will vary.')
  const compiled = build()
  const folder = mkdtempSync(join(tmpdir(), 'bench-compare-'))
  const all: Array<Measured<V>> = variants.map(variant => ({
    variant,
    server: new Child<ServerCalls>(join(compiled, `bench/servers/${script}.js`), SERVER_CORE, {
      script: parametersOf(variant, mkdtempSync(join(folder, 'server-')))
    }),
    load: new Child<LoadCalls>(join(compiled, 'bench/load/main.js'), LOAD_CORE),
    speeds: [],
    costs: []
  }))
  const weights = new Map<V, string>()
  try {
    for (const { server, load } of all) {
      await load.call('connect', { port: await server.call('port'), connections: CONNECTIONS }, CONNECT_MS)
      await load.call('callTools', warmUpMs)
    }
    for (let round = 1; round <= rounds; round++) {
      for (const { server, load, speeds, costs } of round % 2 === 0 ? all : all.toReversed()) {
        const before = await server.call('cpu')
        const { count, seconds } = await load.call('callTools', measuredMs)
        speeds.push(count / seconds)
        costs.push((await server.call('cpu') - before) / count)
      }
    }
    for (const { variant, server } of all) weights.set(variant, weigh(server.pid))
  } finally {
    for (const { server, load } of all) await Promise.all([load.end(), server.end()])
    rmSync(folder, { recursive: true })
    rmSync(compiled, { recursive: true })
  }
  const [reference] = all
  const ratioOf = (values: readonly number[], base: readonly number[] = []) =>
    median(values.map((value, round) => value / (base[round] ?? NaN)))
  for (const { variant, speeds, costs } of all) {
    const ratio = ratioOf(speeds, reference?.speeds)
    say(
      `${variant}: ${Math.round(median(speeds))}/s, ratio ${ratio.toFixed(3)}; ` +
      `${median(costs).toFixed(1)} µs of CPU a call, ratio ${ratioOf(costs, reference?.costs).toFixed(3)}; ` +
      weights.get(variant)
    )
    if (least?.variant !== variant || ratio >= least.ratio) continue
    say(least.says)
    process.exitCode = 1
  }
}
