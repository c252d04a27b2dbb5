import { execFileSync } from 'node:child_process'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { parseRecord } from '../../src/parse-record.js'
import { build } from '../build.js'
import { instrument } from './instrument.js'
import type { Entries } from './requests.js'

/*
 * Counts how often one request enters a function of this project. `npx tsx bench/entries/run.ts` prints a table;
 * with `--list`, the functions in the order in which they are entered.
 */
const out = build()
try {
  instrument(join(out, 'src'))
  const entries: Entries = parseRecord(
    execFileSync(process.execPath, [join(out, 'bench/entries/requests.js')], { encoding: 'utf8' })
  )
  process.stdout.write(process.argv.includes('--list') ? list(entries) : table(entries))
} finally {
  rmSync(out, { recursive: true })
}

function table (entries: Entries): string {
  const rows = Object.entries(entries).map(([request, entered]) =>
    `| ${request} | ${entered.length} | ${new Set(entered.map(fileName)).size} |\n`
  )
  return `| Request | function entries | files |\n| --- | ---: | ---: |\n${rows.join('')}`
}

function list (entries: Entries): string {
  return Object.entries(entries).map(([request, entered]) => `${request}: ${entered.length}\n${
    entered.map((name, index) => `${String(index + 1).padStart(4)} ${name}\n`).join('')
  }`).join('\n')
}

function fileName (entry: string): string {
  return entry.slice(0, entry.indexOf(':'))
}
