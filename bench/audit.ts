import { randomBytes } from 'node:crypto'
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
 * What a policy and the audit log cost: W1 of the service with neither, with each and with both, in turn, each time in
 * a new process. It fails if the median with both is less than 0.9 of that with neither.
 */
const VARIANTS = ['plain', 'policy', 'audit', 'both'] as const
const LEAST_RATIO = 0.9
const { number } = scriptArguments('npx tsx bench/audit.ts [--rounds 5] [--warm-up 6000] [--measured 4000]')
const [rounds, warmUpMs, measuredMs] = [number('rounds'), number('warm-up'), number('measured')]

const say = (text: string) => { process.stdout.write(`${text}\n`) }
const median = (values: readonly number[]) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0

if (!canPin) say('Server and load share their cores here (no taskset, or one core): the figures will vary.')
const measure = speedOf('connect', 'callTools', { warmUpMs, measuredMs })
const keys = `bench:${randomBytes(32).toString('base64url')}`
const compiled = build()
const folder = mkdtempSync(join(tmpdir(), 'bench-audit-'))
const load = new Child<LoadCalls>(join(compiled, 'bench/load/main.js'), LOAD_CORE)
const speeds = new Map<string, number[]>(VARIANTS.map(variant => [variant, []]))
try {
  for (let round = 1; round <= rounds; round++) {
    for (const variant of VARIANTS) {
      const server = new Child<ServerCalls>(join(compiled, 'bench/servers/recorded.js'), SERVER_CORE, {
        script: [variant, mkdtempSync(join(folder, 'log-')), keys]
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

const plain = median(speeds.get('plain') ?? [])
for (const [variant, values] of speeds) {
  say(`${variant}: ${Math.round(median(values))}/s, ratio ${(median(values) / plain).toFixed(3)}`)
}
const ratio = median(speeds.get('both') ?? []) / plain
if (ratio < LEAST_RATIO) {
  say(`With both, it is less than ${LEAST_RATIO} of what it is with neither.`)
  process.exitCode = 1
}
