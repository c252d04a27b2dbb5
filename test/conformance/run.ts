import { startFixture } from './fixture.js'
import { runSuite } from './suite.js'
import { startTokenProxy } from './token-proxy.js'

/*
 * Runs the MCP conformance suite against this service; the arguments are those of the suite's `server` command:
 *
 *   npm run conformance -- --requirements 2025-11-25
 */
// lines of the suite's summary
const SCENARIO = /^([✓✗]) (\S+): \d+ passed, \d+ failed$/
const NOT_SCORED = /^ {2}[✓✗] (\S+) \(\S+\)$/

const fixture = await startFixture()
// the suite cannot log in
const proxy = await startTokenProxy(fixture.url, fixture.token)
const passed = new Map<string, boolean>()
const notScored = new Set<string>()
try {
  process.exitCode = await runSuite(['server', '--url', `${proxy.url}/mcp`, ...process.argv.slice(2)], line => {
    const [, mark, scenario] = SCENARIO.exec(line) ?? []
    if (scenario !== undefined) passed.set(scenario, mark === '✓')
    const unscored = NOT_SCORED.exec(line)?.[1]
    if (unscored !== undefined) notScored.add(unscored)
  })
  if (passed.size > 0) process.stdout.write(`\n${counts()}\n`)
} finally {
  await proxy.close()
  await fixture.close()
}

function counts (): string {
  const tally = (results: Array<[string, boolean]>) => `${results.filter(([, ok]) => ok).length} of ${results.length}`
  const scored = [...passed].filter(([scenario]) => !notScored.has(scenario))
  const others = [...passed].filter(([scenario]) => notScored.has(scenario))
  return `Passed: ${tally(scored)} scenarios${others.length > 0 ? `, and ${tally(others)} that are not scored` : ''}.`
}
