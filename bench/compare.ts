import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { scriptArguments } from '../test/support/script-arguments.js'
import { build } from './build.js'
import type { LoadCalls } from './load/main.js'
import { canPin, Child } from './processes.js'
import type { ServerCalls } from './servers/served.js'
import { LOAD_CORE, SERVER_CORE, speedOf } from './workloads.js'

export interface Comparison<V extends string> {
  /** How the script is called. */
  usage: string
  /** Of `bench/servers`, compiled. */
  server: string
  /** What is compared, the reference first. */
  variants: readonly [V, ...V[]]
  /** Parameters of the server. @param folder of its own, for what it writes */
  parametersOf: (variant: V, folder: string) => readonly string[]
  /** Which variant must leave how much of the reference. */
  least: { variant: V, ratio: number, says: string }
}

const say = (text: string) => { process.stdout.write(`${text}\n`) }
const median = (values: readonly number[]) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0

/** Measures W1 with each variant in turn, each time in a new process. Too low a ratio of the medians fails. */
export async function compare<V extends string> (
  { usage, server: script, variants, parametersOf, least }: Comparison<V>
): Promise<void> {
  const { number } = scriptArguments(`${usage} [--rounds 5] [--warm-up 6000] [--measured 4000]`)
  const [rounds, warmUpMs, measuredMs] = [number('rounds'), number('warm-up'), number('measured')]
  if (!canPin) say('Server and load share their cores here (no taskset, or one core): the figures will vary.')
  const measure = speedOf('connect', 'callTools', { warmUpMs, measuredMs })
  const compiled = build()
  const folder = mkdtempSync(join(tmpdir(), 'bench-compare-'))
  const load = new Child<LoadCalls>(join(compiled, 'bench/load/main.js'), LOAD_CORE)
  const speeds = new Map<V, number[]>(variants.map(variant => [variant, []]))
  try {
    for (let round = 1; round <= rounds; round++) {
      for (const variant of variants) {
        const server = new Child<ServerCalls>(join(compiled, `bench/servers/${script}.js`), SERVER_CORE, {
          script: parametersOf(variant, mkdtempSync(join(folder, 'server-')))
        })
        try {
          const { perSecond, cpu, busy } = await measure(server, load, await server.call('port'))
          speeds.get(variant)?.push(perSecond)
          say(`round ${round}, ${variant}: ${Math.round(perSecond)}/s, ${cpu.toFixed(1)} µs, busy ${busy.toFixed(2)}`)
        } finally {
          await load.call('close')
          await server.end()
        }
      }
    }
  } finally {
    await load.end()
    rmSync(folder, { recursive: true })
    rmSync(compiled, { recursive: true })
  }
  const speedWith = (variant: V) => median(speeds.get(variant) ?? [])
  const ratioOf = (variant: V) => speedWith(variant) / speedWith(variants[0])
  for (const variant of variants) {
    say(`${variant}: ${Math.round(speedWith(variant))}/s, ratio ${ratioOf(variant).toFixed(3)}`)
  }
  if (ratioOf(least.variant) >= least.ratio) return
  say(least.says)
  process.exitCode = 1
}
