import {
  Client as Client2,
  StreamableHTTPClientTransport as StreamableHTTPClientTransport2,
  UnauthorizedError as UnauthorizedError2
} from '@modelcontextprotocol/client'
import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { SSEClientTransport } from '@modelcontextprotocol/sdk/client/sse.js'
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import t, { type Test } from 'tap'
import { startService, type Service } from '../support/service.js'
import { Person } from '../support/person.js'

const clientInfo = { name: 'e2e', version: '1.0.0' }

/** From 401 to a refreshed token, as a client of the 1.x SDK does it. */
async function journey (
  t: Test,
  service: Service,
  transportFor: (person: Person) => StreamableHTTPClientTransport | SSEClientTransport
) {
  const person = new Person('alice')
  const first = transportFor(person)
  await t.rejects(new Client(clientInfo).connect(first), { message: /Unauthorized/ }, 'the client is sent to log in')
  const callback = await person.logIn()
  t.equal(callback.get('state'), 'state-of-alice')
  t.equal(callback.get('iss'), service.url)
  await first.finishAuth(callback.get('code') ?? '')

  const client = new Client(clientInfo)
  t.teardown(() => client.close())
  const transport = transportFor(person)
  await client.connect(transport)
  t.match(await client.callTool({ name: 'add', arguments: { l: 1, r: 2 } }), { content: [{ type: 'text', text: '3' }] })

  const progress: number[] = []
  await client.callTool({ name: 'countdown', arguments: { from: 3, intervalMs: 10 } }, undefined, {
    onprogress: update => progress.push(update.progress)
  })
  t.ok(progress.length >= 3, 'the countdown reports progress')

  const whoami = await client.callTool({ name: 'whoami', arguments: {} })
  t.match(JSON.stringify(whoami.content), /alice/)

  const token = person.accessToken
  const refresh = person.tokens()?.refresh_token
  person.saveTokens({
    access_token: 'expired',
    token_type: 'bearer',
    ...refresh !== undefined && { refresh_token: refresh }
  })
  t.match(
    await client.callTool({ name: 'add', arguments: { l: 2, r: 2 } }),
    { content: [{ text: '4' }] },
    'a refused token is refreshed on the way'
  )
  t.not(person.accessToken, token)
  t.not(person.accessToken, 'expired')
  return { client, transport, person }
}

t.test('SDK 1.x over Streamable HTTP', async t => {
  const service = await startService(t)
  const { transport, person } = await journey(
    t,
    service,
    person => new StreamableHTTPClientTransport(new URL(`${service.url}/mcp`), { authProvider: person })
  )
  if (!(transport instanceof StreamableHTTPClientTransport)) throw new Error('not this transport')
  const sessionId = transport.sessionId ?? ''
  t.not(sessionId, '')
  await transport.terminateSession()
  const after = await fetch(`${service.url}/mcp`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${person.accessToken}`,
      'content-type': 'application/json',
      accept: 'application/json, text/event-stream',
      'mcp-session-id': sessionId
    },
    body: JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'ping' })
  })
  t.equal(after.status, 404, 'the session is gone after DELETE')
})

t.test('SDK 1.x over HTTP+SSE', async t => {
  const service = await startService(t)
  await journey(t, service, person => new SSEClientTransport(new URL(`${service.url}/sse`), { authProvider: person }))
})

t.test('SDK 2.x over Streamable HTTP, in its default mode', async t => {
  const service = await startService(t)
  const person = new Person('bob')
  const transportFor = () => new StreamableHTTPClientTransport2(new URL(`${service.url}/mcp`), { authProvider: person })
  const first = transportFor()
  await t.rejects(new Client2(clientInfo).connect(first), UnauthorizedError2)
  await first.finishAuth(await person.logIn())

  const client = new Client2(clientInfo)
  t.teardown(() => client.close())
  const transport = transportFor()
  await client.connect(transport)
  t.match(await client.callTool({ name: 'add', arguments: { l: 1, r: 2 } }), { content: [{ type: 'text', text: '3' }] })
  const progress: number[] = []
  await client.callTool({ name: 'countdown', arguments: { from: 3, intervalMs: 10 } }, {
    onprogress: update => progress.push(update.progress)
  })
  t.ok(progress.length >= 3, 'the countdown reports progress')
  await transport.terminateSession()
})
