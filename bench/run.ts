import { existsSync, rmSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { build, root } from './build.js'
import { canPin } from './processes.js'
import { performancePage, tables, type Results } from './report.js'
import {
  measureCalls,
  measureIdle,
  measureSessions,
  measureStateless,
  servers,
  TOOL_COUNTS,
  type Bench,
  type ServerName
} from './workloads.js'

const USAGE = `Usage: npx tsx bench/run.ts [w1] [w2] [w3] [w4] [options]

Without a workload it runs all and writes docs/performance.md.

  --rounds N     rounds, default 5
  --only A,B     servers, of: ${Object.keys(servers).join(', ')}
  --profile DIR  write CPU profiles of the servers there (their figures then cost more)
`

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: 'string', default: '5' },
    only: { type: 'string' },
    profile: { type: 'string' },
    help: { type: 'boolean' }
  }
})

const isServer = (name: string): name is ServerName => name in servers
const say = (text: string) => { process.stderr.write(text) }

async function main (): Promise<number> {
  const names = options.only?.split(',') ?? Object.keys(servers)
  const rounds = Number(options.rounds)
  const taken = names.every(isServer) && rounds >= 1 &&
    positionals.every(name => ['w1', 'w2', 'w3', 'w4'].includes(name))
  if (options.help === true || !taken) {
    say(USAGE)
    return taken ? 0 : 2
  }
  if (
    names.some(name => servers[name].script.startsWith('peers/')) && !existsSync(join(root, 'bench/peers/node_modules'))
  ) {
    say('The peers are not installed: npm ci --prefix bench/peers\n')
    return 1
  }
  if (!canPin) say('Server and load share their cores here (no taskset, or one core): the figures will vary.\n')

  const compiled = build()
  try {
    const bench: Bench = {
      compiled,
      names,
      rounds,
      profiles: options.profile && resolve(options.profile),
      progress: say
    }
    const all = positionals.length === 0
    const results: Results = {}
    if (all || positionals.includes('w1')) results.calls = await measureCalls(bench)
    if (all || positionals.includes('w2')) {
      results.stateless = []
      for (const tools of TOOL_COUNTS) results.stateless.push({ tools, rounds: await measureStateless(bench, tools) })
    }
    if (all || positionals.includes('w3')) results.sessions = await measureSessions(bench)
    if (all || positionals.includes('w4')) {
      results.withStreams = await measureIdle(bench, true)
      results.withoutStreams = await measureIdle(bench, false)
    }
    process.stdout.write(tables(results))
    if (all && options.only === undefined && options.profile === undefined) {
      writeFileSync(join(root, 'docs/performance.md'), performancePage(results, rounds))
    }
    return 0
  } finally {
    rmSync(compiled, { recursive: true })
  }
}

process.exitCode = await main()
