import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Report } from '../support/report.js'
import { freePort } from '../support/free-port.js'
import { listeningUpstream } from '../support/listening-upstream.js'
import { root } from '../support/root.js'
import { KINDS, type Counts } from './load.js'
import { crash, SERVICE } from './rounds.js'

/*
 * npx tsx test/crashes/kill.ts [rounds, 200 by default] [directory]: kill -9 under load of logins, rotations and
 * refreshes; after each start, what was answered holds, and what was used is used. With a directory, the file there
 * continues.
 */
const [given, kept] = process.argv.slice(2)
const rounds = Number(given ?? 200)
// to translate it at each start would take most of the time
const built = join(root, '.tap/crashes')
execFileSync(
  'npx',
  ['tsc', '-p', 'tsconfig.test.json', '--noEmit', 'false', '--incremental', '--outDir', built],
  { cwd: root }
)
const kinds = (counts: Counts) => KINDS.map(kind => `${counts[kind]} ${kind}`).join(', ')
const directory = kept ?? mkdtempSync(join(tmpdir(), 'crashes-'))
let stop = async () => {}
const upstream = await listeningUpstream({ teardown: act => { stop = async () => { await act() } } })
const report = new Report(`kill -9, ${rounds} times, under load`)
const figures = await crash({
  rounds,
  file: join(directory, 'state.sqlite'),
  port: await freePort(),
  issuer: upstream.issuer,
  reuseSeconds: 15,
  program: [join(built, `${SERVICE}.js`)],
  onRound: ({ rounds, answered, faults }) => {
    if (rounds % 10 > 0) return
    report.say(`  after ${rounds}: ${kinds(answered)}, ${faults.length} faults`)
  }
})
const { faults, answered, underWay, ...counts } = figures
report.figure('answered before a kill', kinds(answered))
report.figure('rounds with requests under way at the kill', kinds(underWay))
for (const [name, count] of Object.entries(counts)) report.figure(name, count)
for (const fault of faults.slice(0, 20)) report.say(`  ${fault}`)
report.check(`what was answered holds after each of ${rounds} ends (${faults.length} faults)`, faults.length === 0)
for (const kind of KINDS) {
  report.check(`each round was killed with ${kind} under way (${underWay[kind]})`, underWay[kind] === rounds)
}
report.end()
await stop()
if (kept === undefined) rmSync(directory, { recursive: true })
