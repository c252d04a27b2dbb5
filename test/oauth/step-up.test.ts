import {
  Client as Client2,
  StreamableHTTPClientTransport as StreamableHTTPClientTransport2
} from '@modelcontextprotocol/client'
import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import t, { type Test } from 'tap'
import { requireScopes } from '../../src/mcp/scopes/required-scopes.js'
import { createServer } from '../support/sample-server.js'
import { Person } from '../support/person.js'
import { startService, type Service } from '../support/service.js'

const clientInfo = { name: 'test', version: '1.0.0' }
const divide = { name: 'divide', arguments: { l: 6, r: 3 } }

/** A service whose tool `divide` needs a scope of its own; `calls` counts what reached the tools. */
async function startSteppedService (t: Test): Promise<Service> {
  return await startService(t, { MCP_SCOPES: 'mcp math:divide math:root' }, {}, {
    createServer: async context => {
      const server = await createServer(context)
      requireScopes(server, { divide: ['math:divide'] })
      return server
    }
  })
}

async function checkStep (t: Test, person: Person, call: Promise<unknown>) {
  await t.rejects(call, /Unauthorized/, 'the client goes to ask for the scope')
  t.equal(
    person.authorizationUrl?.searchParams.get('scope')?.replace(/ offline_access$/, ''),
    'mcp math:divide',
    'for what it has and what it lacks'
  )
}

t.test('the challenge of a call without the scope', async t => {
  const service = await startSteppedService(t)
  const person = new Person('alice')
  const transport = new StreamableHTTPClientTransport(new URL(`${service.url}/mcp`), { authProvider: person })
  await t.rejects(new Client(clientInfo).connect(transport), /Unauthorized/)
  await transport.finishAuth((await person.logIn()).get('code') ?? '')
  const post = async (body: object, sessionId = '') =>
    await fetch(`${service.url}/mcp`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${person.accessToken}`,
        'content-type': 'application/json',
        accept: 'application/json, text/event-stream',
        ...sessionId !== '' && { 'mcp-session-id': sessionId }
      },
      body: JSON.stringify({ jsonrpc: '2.0', id: 1, ...body })
    })
  const opened = await post({
    method: 'initialize',
    params: { protocolVersion: '2025-06-18', capabilities: {}, clientInfo }
  })
  const sessionId = opened.headers.get('mcp-session-id') ?? ''
  const refused = await post({ method: 'tools/call', params: divide }, sessionId)
  t.equal(refused.status, 403)
  t.equal(
    refused.headers.get('www-authenticate'),
    'Bearer error="insufficient_scope", error_description="The access token lacks scopes that this call needs.", ' +
      `resource_metadata="${service.url}/.well-known/oauth-protected-resource/mcp", scope="mcp math:divide"`
  )
  t.equal(
    (await post({ method: 'tools/call', params: { ...divide, name: 'add' } }, sessionId)).status,
    200,
    'other tools are open'
  )
})

t.test('SDK 2.x client steps up, and the same call passes', async t => {
  const service = await startSteppedService(t)
  const person = new Person('alice')
  const transport = new StreamableHTTPClientTransport2(new URL(`${service.url}/mcp`), { authProvider: person })
  await t.rejects(new Client2(clientInfo).connect(transport), /Unauthorized/)
  await transport.finishAuth(await person.logIn())
  t.equal(person.tokens()?.scope, 'mcp', 'the client asked for what the challenge named')

  const client = new Client2(clientInfo)
  const connected = new StreamableHTTPClientTransport2(new URL(`${service.url}/mcp`), { authProvider: person })
  await client.connect(connected)
  await checkStep(t, person, client.callTool(divide))
  await connected.finishAuth(await person.logIn())
  t.match(await client.callTool(divide), { content: [{ text: '2' }] })
  await client.close()
})

// with a refresh token this client only refreshes, which can give it no further scope, and then gives up
t.test('SDK 1.x client without refresh tokens steps up, and the same call passes', async t => {
  const service = await startSteppedService(t)
  const person = new Person('alice', { grant_types: ['authorization_code'] })
  const transport = new StreamableHTTPClientTransport(new URL(`${service.url}/mcp`), { authProvider: person })
  await t.rejects(new Client(clientInfo).connect(transport), /Unauthorized/)
  await transport.finishAuth((await person.logIn()).get('code') ?? '')
  t.equal(person.tokens()?.refresh_token, undefined, 'a client that did not register for refresh tokens gets none')

  const client = new Client(clientInfo)
  const connected = new StreamableHTTPClientTransport(new URL(`${service.url}/mcp`), { authProvider: person })
  await client.connect(connected)
  await checkStep(t, person, client.callTool(divide))
  await connected.finishAuth((await person.logIn()).get('code') ?? '')
  t.match(await client.callTool(divide), { content: [{ text: '2' }] })
  await client.close()
})
