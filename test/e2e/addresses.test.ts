import {
  Client as Client2,
  StreamableHTTPClientTransport as StreamableHTTPClientTransport2,
  UnauthorizedError as UnauthorizedError2
} from '@modelcontextprotocol/client'
import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { SSEClientTransport } from '@modelcontextprotocol/sdk/client/sse.js'
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import t, { type Test } from 'tap'
import { freePort } from '../support/free-port.js'
import { Person } from '../support/person.js'
import { startService, type Service } from '../support/service.js'

/*
 * Whatever address of the service people enter, the two SDK clients find the login, log in and call.
 */

const clientInfo = { name: 'e2e', version: '1.0.0' }
const call = { name: 'add', arguments: { l: 1, r: 2 } }
const result = { content: [{ type: 'text', text: '3' }] }

async function startAt (t: Test, path: string, environment: NodeJS.ProcessEnv = {}): Promise<Service> {
  const port = await freePort()
  return await startService(t, { PORT: String(port), PUBLIC_URL: `http://localhost:${port}${path}`, ...environment })
}

async function withSdk1 (
  t: Test,
  service: Service,
  transportFor: (person: Person) => StreamableHTTPClientTransport | SSEClientTransport
): Promise<void> {
  const person = new Person('alice')
  const first = transportFor(person)
  await t.rejects(new Client(clientInfo).connect(first), { message: /Unauthorized/ })
  const callback = await person.logIn()
  t.equal(callback.get('iss'), service.url, callback.toString().replace(/code=[^&]+/, 'code'))
  await first.finishAuth(callback.get('code') ?? '')
  const client = new Client(clientInfo)
  t.teardown(() => client.close())
  const transport = transportFor(person)
  await client.connect(transport)
  t.match(await client.callTool(call), result)
  if (transport instanceof StreamableHTTPClientTransport) await transport.terminateSession()
}

async function withSdk2 (t: Test, url: URL): Promise<void> {
  for (const mode of ['legacy', 'auto'] as const) {
    const person = new Person('bob')
    const transportFor = () => new StreamableHTTPClientTransport2(url, { authProvider: person })
    const newClient = () => new Client2(clientInfo, { versionNegotiation: { mode } })
    const first = transportFor()
    await t.rejects(newClient().connect(first), UnauthorizedError2)
    await first.finishAuth(await person.logIn())
    const client = newClient()
    t.teardown(() => client.close())
    await client.connect(transportFor())
    t.match(await client.callTool(call), result, mode)
  }
}

for (const path of ['', '/tools', '/a/b', '/mcp']) {
  for (const endpoint of ['/mcp', '', '/']) {
    t.test(`${path}${endpoint} of PUBLIC_URL=http://localhost${path}`, async t => {
      const service = await startAt(t, path)
      const url = new URL(service.url + endpoint)
      await withSdk1(t, service, person => new StreamableHTTPClientTransport(url, { authProvider: person }))
      await withSdk2(t, url)
    })
  }
  t.test(`HTTP+SSE of PUBLIC_URL=http://localhost${path}`, async t => {
    const service = await startAt(t, path)
    for (const endpoint of ['/sse', '']) {
      const url = new URL(service.url + endpoint)
      await withSdk1(t, service, person => new SSEClientTransport(url, { authProvider: person }))
    }
  })
}

t.test('without sessions', async t => {
  for (const path of ['', '/tools']) {
    const service = await startAt(t, path, { SESSION_MODE: 'stateless' })
    for (const endpoint of ['/mcp', '']) {
      const url = new URL(service.url + endpoint)
      await withSdk1(t, service, person => new StreamableHTTPClientTransport(url, { authProvider: person }))
      await withSdk2(t, url)
    }
    const sse = await fetch(service.url, { headers: { accept: 'text/event-stream' } })
    t.equal(sse.status, 401, 'the token first, as at /mcp')
  }
})
