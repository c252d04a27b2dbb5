import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { startFixture } from './fixture.js'
import { startTokenProxy } from './token-proxy.js'

/*
 * Runs the MCP conformance suite against this service; the arguments are those of the suite's `server` command:
 *
 *   npx tsx test/conformance/run.ts --requirements 2025-11-25
 */
const SUITE = '@modelcontextprotocol/conformance@0.2.0-alpha.12'
// the suite needs a newer Node.js than this service does
const NODE = 'node@24'
// lines of the suite's summary
const SCENARIO = /^([✓✗]) (\S+): \d+ passed, \d+ failed$/
const NOT_SCORED = /^ {2}[✓✗] (\S+) \(\S+\)$/

const fixture = await startFixture()
// the suite cannot log in
const proxy = await startTokenProxy(fixture.url, fixture.token)
try {
  process.exitCode = await runSuite(['server', '--url', `${proxy.url}/mcp`, ...process.argv.slice(2)])
} finally {
  await proxy.close()
  await fixture.close()
}

/** @returns the suite's exit status */
async function runSuite (args: string[]): Promise<number> {
  const suite = spawn('npx', ['-y', '-p', NODE, '-p', SUITE, 'conformance', ...args], { stdio: ['ignore', 'pipe', 'inherit'] })
  const closed: Promise<unknown[]> = once(suite, 'close')
  const passed = new Map<string, boolean>()
  const notScored = new Set<string>()
  createInterface({ input: suite.stdout }).on('line', line => {
    process.stdout.write(`${line}\n`)
    const [, mark, scenario] = SCENARIO.exec(line) ?? []
    if (scenario !== undefined) passed.set(scenario, mark === '✓')
    const unscored = NOT_SCORED.exec(line)?.[1]
    if (unscored !== undefined) notScored.add(unscored)
  })
  const [code] = await closed
  if (passed.size > 0) process.stdout.write(`\n${counts(passed, notScored)}\n`)
  return typeof code === 'number' ? code : 1
}

function counts (passed: ReadonlyMap<string, boolean>, notScored: ReadonlySet<string>): string {
  const tally = (results: Array<[string, boolean]>) => `${results.filter(([, ok]) => ok).length} of ${results.length}`
  const scored = [...passed].filter(([scenario]) => !notScored.has(scenario))
  const others = [...passed].filter(([scenario]) => notScored.has(scenario))
  return `Passed: ${tally(scored)} scenarios${others.length > 0 ? `, and ${tally(others)} that are not scored` : ''}.`
}
