import { randomBytes } from 'node:crypto'
import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import { Person } from '../support/person.js'
import { startTokenProxy } from '../conformance/token-proxy.js'
import { runSuite, sdkOf } from '../conformance/suite.js'
import { startCluster } from './cluster.js'

/*
 * The conformance suite through nginx, HAProxy or Caddy in strict round robin over two replicas, without stickiness:
 *
 *   [LOAD_BALANCER=nginx|haproxy|caddy] npx tsx test/replicas/conformance.ts --sdk 2 --requirements 2026-07-28
 */
const [sdk, suiteArguments] = sdkOf(process.argv.slice(2))
const cluster = await startCluster({
  entry: 'test/replicas/fixture-replica',
  environment: { FIXTURE_SDK: sdk, FIXTURE_STATE_KEY: randomBytes(32).toString('hex') }
})
const person = new Person('conformance')
const transport = new StreamableHTTPClientTransport(new URL(`${cluster.url}/mcp`), { authProvider: person })
await new Client({ name: 'conformance', version: '1.0.0' }).connect(transport).catch(() => {})
await transport.finishAuth((await person.logIn()).get('code') ?? '')
const proxy = await startTokenProxy(cluster.url, person.accessToken)
try {
  process.exitCode = await runSuite(['server', '--url', `${proxy.url}/mcp`, ...suiteArguments], () => {})
} finally {
  await proxy.close()
  await cluster.close()
}
