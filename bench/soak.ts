import { resolve } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { scriptArguments } from '../test/support/script-arguments.js'
import { soak, type Tally } from './load/soaking.js'
import { Child } from './processes.js'
import type { Held, SoakedCalls } from './servers/soak.js'

/*
 * Clients that open sessions and abandon them, cut their streams and resume them, cancel calls. Every client counts
 * what it gets. Memory of the server is taken after garbage collection, at intervals; it must be flat at the end, and
 * nothing may be left once the clients are gone.
 */

const CLIENTS = 100
const SAMPLES = 20
// longer than any session, event, instance and housekeeping interval of the server
const COOL_DOWN_MS = 75_000
const FLAT = 1.05

const minutes = scriptArguments('npx tsx bench/soak.ts [--minutes 10]').number('minutes')
const print = (text: string) => { process.stdout.write(`${text}\n`) }
const mean = (values: number[]) => values.reduce((sum, value) => sum + value, 0) / values.length

function lineOf (
  seconds: number,
  { rssMb, heapMb, sessions, records, instances, streams, logBytes, timers }: Held
): string {
  const cells = [
    seconds.toFixed(0),
    rssMb.toFixed(1),
    heapMb.toFixed(1),
    records,
    sessions,
    instances,
    streams,
    (logBytes / 1024).toFixed(0),
    timers
  ]
  return cells.map(cell => String(cell).padStart(9)).join('')
}

const child = new Child<SoakedCalls>(resolve(import.meta.dirname, 'servers/soak.ts'), 0, {
  node: ['--expose-gc', '--import', 'tsx']
})
const url = await child.call('url')
const before = await child.call('held')
const tally: Tally = { journeys: {}, messages: 0, cuts: 0, faults: [] }
const began = Date.now()
const elapsed = () => (Date.now() - began) / 1000

print(`${CLIENTS} clients for ${minutes} minutes, Node ${process.version}`)
print(
  ['s', 'RSS MB', 'heap MB', 'records', 'known', 'live', 'streams', 'log KB', 'timers'].map(name => name.padStart(9))
    .join('')
)
print(lineOf(0, before))

const samples: Held[] = []
const soaking = soak(url, CLIENTS, began + minutes * 60_000, tally)
for (let sample = 1; sample <= SAMPLES; sample++) {
  await delay(began + sample * minutes * 60_000 / SAMPLES - Date.now())
  const held = await child.call('held')
  samples.push(held)
  print(lineOf(elapsed(), held))
}
await soaking
await delay(COOL_DOWN_MS)
const after = await child.call('held')
print(lineOf(elapsed(), after))
await child.call('close')
const closed = await child.call('held')
await child.end()

const third = Math.floor(SAMPLES / 3)
const middle = samples.slice(third, 2 * third)
const last = samples.slice(-third)
const heapGrowth = mean(last.map(({ heapMb }) => heapMb)) / mean(middle.map(({ heapMb }) => heapMb))
const rssGrowth = mean(last.map(({ rssMb }) => rssMb)) / mean(middle.map(({ rssMb }) => rssMb))
const left = Object.entries(closed.resources).filter(([name]) =>
  !['PipeWrap', 'TTYWrap', 'Timeout', 'FSReqPromise'].includes(name)
)

const verdicts: Array<[string, boolean]> = [
  [
    `no event lost or doubled: ${tally.messages} messages over streams cut ${tally.cuts} times, ` +
      `${tally.faults.length} faults`,
    tally.faults.length === 0
  ],
  [
    `memory flat: heap of the last third ${heapGrowth.toFixed(3)} of the middle third's, RSS ${rssGrowth.toFixed(3)}`,
    heapGrowth < FLAT && rssGrowth < FLAT
  ],
  [
    `nothing left when the clients are gone: ${after.records} records, ${after.sessions} sessions, ` +
    `${after.instances} instances, ${after.streams} streams, ${after.logBytes} bytes logged; ` +
    `heap ${after.heapMb.toFixed(1)} MB (${before.heapMb.toFixed(1)} before)`,
    after.records + after.sessions + after.instances + after.streams + after.logBytes === 0],
  [`no timer left: ${after.timers} (${before.timers} before)`, after.timers <= before.timers],
  [
    `nothing left after closing: ${closed.subscriptions} bus subscriptions, resources ${
      JSON.stringify(closed.resources)
    }`,
    closed.subscriptions === 0 && left.length === 0
  ]
]
print('')
for (const [name, count] of Object.entries(tally.journeys)) print(`  ${String(count).padStart(7)}  ${name}`)
print('')
for (const [what, holds] of verdicts) print(`${holds ? 'ok    ' : 'NOT OK'} ${what}`)
for (const fault of tally.faults.slice(0, 20)) print(`       ${fault}`)
process.exitCode = verdicts.every(([, holds]) => holds) ? 0 : 1
