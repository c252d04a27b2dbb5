import { Browser, logIn } from '../support/browser.js'
import { freePort } from '../support/free-port.js'
import { runService } from '../support/service.js'
import { runSuite } from './suite.js'

/*
 * Runs the authorization suite of the MCP conformance tests against the whole service and its demo upstream:
 *
 *   npm run conformance:authorization
 *
 * The suite prints a URL and waits for a person; the person is played here.
 */
const service = await runService()
const port = await freePort()
try {
  const clientId = await register(`http://127.0.0.1:${port}/callback`)
  const visits: Array<Promise<unknown>> = []
  process.exitCode = await runSuite([
    'authorization',
    '--url',
    service.url,
    '--client-id',
    clientId,
    '--resource',
    `${service.url}/mcp`,
    '-p',
    String(port),
    ...process.argv.slice(2)
  ], line => {
    if (line.startsWith(`${service.url}/authorize?`)) visits.push(logIn(new Browser(), line))
  })
  await Promise.all(visits)
} finally {
  await service.close()
}

/** Registers the suite's client. @returns its client id */
async function register (redirectUri: string): Promise<string> {
  const response = await fetch(`${service.url}/register`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      client_name: 'Conformance suite',
      redirect_uris: [redirectUri],
      token_endpoint_auth_method: 'none'
    })
  })
  const registered: unknown = await response.json()
  if (typeof registered !== 'object' || registered === null || !('client_id' in registered)) {
    throw new Error(`registration failed: ${JSON.stringify(registered)}`)
  }
  return String(registered.client_id)
}
