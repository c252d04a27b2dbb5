import { join } from 'node:path'
import { remoteServer } from '../../src/hosted/remote/remote-server.js'
import { stdioServer } from '../../src/hosted/stdio/stdio-server.js'
import { root } from '../support/root.js'
import { startFixture, type Fixture } from './fixture.js'
import { createServer as createServer1 } from './fixture-server.js'
import { createServer as createServer2 } from './fixture-server-2.js'
import { behindOf, runSuite, sdkOf, type Behind } from './suite.js'
import { startTokenProxy } from './token-proxy.js'

/*
 * Runs the MCP conformance suite against this service; the arguments are those of the suite's `server` command, and
 * `--sdk`, which chooses the SDK that the fixture server is written with (1 or 2; default: 1), and `--behind`, which
 * hosts it as a program (`stdio`), or hosts the service that has it as a remote server, reached by Streamable HTTP
 * (`streamable-http`) or HTTP+SSE (`sse`):
 *
 *   npm run conformance -- --sdk 2 --requirements 2026-07-28
 *   npm run conformance -- --behind streamable-http --requirements 2025-11-25
 */
// lines of the suite's summary
const SCENARIO = /^([✓✗]) (\S+): \d+ passed, \d+ failed$/
const NOT_SCORED = /^ {2}[✓✗] (\S+) \(\S+\)$/

const [sdk, withoutSdk] = sdkOf(process.argv.slice(2))
const [behind, suiteArguments] = behindOf(withoutSdk)
const fixture = await start(behind)
// the suite cannot log in
const proxy = await startTokenProxy(fixture.url, fixture.token)
const passed = new Map<string, boolean>()
const notScored = new Set<string>()
try {
  process.exitCode = await runSuite(['server', '--url', `${proxy.url}/mcp`, ...suiteArguments], line => {
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

async function start (how: Behind | undefined): Promise<Fixture> {
  if (how === 'stdio') {
    const program = join(root, 'test/conformance/fixture-stdio.ts')
    return await startFixture(stdioServer({
      command: process.execPath, args: ['--import', 'tsx', program, sdk], cwd: root, roots: true
    }))
  }
  const hosted = await startFixture(sdk === '2' ? createServer2 : createServer1)
  if (how === undefined) return hosted
  const front = await startFixture(remoteServer({
    url: `${hosted.url}/${how === 'sse' ? 'sse' : 'mcp'}`,
    transport: how,
    headers: { authorization: `Bearer ${hosted.token}` }
  }))
  const close = async () => {
    await front.close()
    await hosted.close()
  }
  return { ...front, close }
}

function counts (): string {
  const tally = (results: Array<[string, boolean]>) => `${results.filter(([, ok]) => ok).length} of ${results.length}`
  const scored = [...passed].filter(([scenario]) => !notScored.has(scenario))
  const others = [...passed].filter(([scenario]) => notScored.has(scenario))
  return `Passed: ${tally(scored)} scenarios${others.length > 0 ? `, and ${tally(others)} that are not scored` : ''}.`
}
