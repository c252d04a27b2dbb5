import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { scriptArguments } from '../test/support/script-arguments.js'
import { build } from './build.js'
import type { LoadCalls } from './load/main.js'
import { canPin, Child } from './processes.js'
import type { ServerCalls } from './servers/served.js'
import { LOAD_CORE, SERVER_CORE, speedOf } from './workloads.js'

/*
 * What a state in a file costs: W1 of the service over memory and over SQLite, in turn, each time in a new process. It
 * fails if the median over SQLite is less than 0.95 of that over memory.
 */
const VARIANTS = ['memory', 'sqlite'] as const
const LEAST_RATIO = 0.95
const { number } = scriptArguments('npx tsx bench/durable.ts [--rounds 5] [--warm-up 6000] [--measured 4000]')
const [rounds, warmUpMs, measuredMs] = [number('rounds'), number('warm-up'), number('measured')]

const say = (text: string) => { process.stdout.write(`${text}\n`) }
const median = (values: readonly number[]) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0

if (!canPin) say('Server and load share their cores here (no taskset, or one core): the figures will vary.')
const measure = speedOf('connect', 'callTools', { warmUpMs, measuredMs })
const compiled = build()
const folder = mkdtempSync(join(tmpdir(), 'bench-durable-'))
const load = new Child<LoadCalls>(join(compiled, 'bench/load/main.js'), LOAD_CORE)
const speeds = new Map<string, number[]>(VARIANTS.map(variant => [variant, []]))
try {
  for (let round = 1; round <= rounds; round++) {
    for (const variant of VARIANTS) {
      const server = new Child<ServerCalls>(join(compiled, 'bench/servers/durable.js'), SERVER_CORE, {
        script: variant === 'memory' ? [] : [join(folder, `${round}.sqlite`)]
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

const memory = median(speeds.get('memory') ?? [])
const sqlite = median(speeds.get('sqlite') ?? [])
const ratio = sqlite / memory
say(`memory: ${Math.round(memory)}/s; sqlite: ${Math.round(sqlite)}/s, ratio ${ratio.toFixed(3)}`)
if (ratio < LEAST_RATIO) {
  say(`Over SQLite, it is less than ${LEAST_RATIO} of what it is over memory.`)
  process.exitCode = 1
}
