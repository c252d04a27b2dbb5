import { StreamableHTTPClientTransport as StreamableHTTPClientTransport2 } from '@modelcontextprotocol/client'
import {
  StreamableHTTPClientTransport as StreamableHTTPClientTransport1
} from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import t, { type Test } from 'tap'
import type { CreateServer } from '../../src/mcp/create-server.js'
import { requireScopes } from '../../src/mcp/scopes/required-scopes.js'
import { createServer as createServer1 } from '../support/sample-server.js'
import { createServer as createServer2 } from '../support/sample-server-2.js'
import { Person } from '../support/person.js'
import { startService } from '../support/service.js'
import { eraClients, textOf, type ClientAuth, type EraClient } from './era-clients.js'

/*
 * The hosted server and its twin of SDK 2.x, behind OAuth, with every client.
 */
const servers: Record<string, CreateServer> = {
  'the hosted server, SDK 1.x': createServer1,
  'its twin, SDK 2.x': createServer2
}

/** Ends the login that a client has begun, with the client's own SDK. */
async function logIn (url: string, person: Person, sdk1: boolean): Promise<void> {
  const endpoint = new URL(`${url}/mcp`)
  if (sdk1) {
    await new StreamableHTTPClientTransport1(endpoint, { authProvider: person }).finishAuth(
      (await person.logIn()).get('code') ?? ''
    )
  } else await new StreamableHTTPClientTransport2(endpoint, { authProvider: person }).finishAuth(await person.logIn())
}

/** What anybody does with the server. */
async function journey (t: Test, client: EraClient) {
  t.same(await client.toolNames(), ['add', 'divide', 'whoami', 'countdown'])
  t.equal(textOf(await client.call('add', { l: 1, r: 2 })), '3')
  t.match(await client.call('divide', { l: 1, r: 0 }), { isError: true, content: [{ text: 'Division by zero.' }] })
  t.match(await client.call('divide', { l: 'one', r: 0 }), { isError: true }, 'bad input is an error of the tool')
  t.match(JSON.parse(textOf(await client.call('whoami'))), { subject: 'alice', scopes: ['mcp'] })
  t.match(await client.read('about://server'), { contents: [{ mimeType: 'text/plain', text: /sample MCP server/ }] })
  t.match(await client.prompt('greet', { name: 'Ada' }), { messages: [{ content: { text: /Greet Ada/ } }] })

  const progress: number[] = []
  t.equal(
    textOf(
      await client.call('countdown', { from: 3, intervalMs: 1 }, {
        onprogress: update => progress.push(update.progress)
      })
    ),
    'Lift-off!'
  )
  t.same(progress, [0, 1, 2])
  const abort = new AbortController()
  const cancelled = client.call('countdown', { from: 1000, intervalMs: 60_000 }, {
    signal: abort.signal,
    onprogress: () => {
      abort.abort('enough')
    }
  })
  await t.rejects(cancelled, /enough|abort/i, 'a call can be cancelled')
}

for (const [serverName, createServer] of Object.entries(servers)) {
  for (const [clientName, { modern, connect }] of Object.entries(eraClients)) {
    const sdk1 = clientName.startsWith('SDK 1.x')

    t.test(`${clientName}; ${serverName}: from 401 to refresh`, async t => {
      const { url } = await startService(t, {}, {}, { createServer })
      const person = new Person('alice')
      /** Of requests to the server. */
      const statuses: number[] = []
      const auth: ClientAuth = {
        authProvider: person,
        fetch: async (target, init) => {
          const response = await fetch(target, init)
          if (new URL(target).pathname === '/mcp' && String(init?.body).includes('"id"')) statuses.push(response.status)
          return response
        }
      }
      await t.rejects(connect(url, auth), /Unauthorized/)
      t.same(statuses, [401])
      await logIn(url, person, sdk1)
      const client = await connect(url, auth)
      t.teardown(() => client.close())
      t.equal(client.revision, modern ? '2026-07-28' : '2025-11-25')
      await journey(t, client)

      const tokens = person.tokens()
      if (tokens === undefined) throw new Error('no tokens')
      person.saveTokens({ ...tokens, access_token: 'long-expired' })
      statuses.length = 0
      t.equal(textOf(await client.call('add', { l: 2, r: 2 })), '4', 'the client has refreshed')
      t.same(statuses, [401, 200])
      t.not(person.accessToken, tokens.access_token)
    })

    t.test(`${clientName}; ${serverName}: step-up`, async t => {
      const { url } = await startService(t, { MCP_SCOPES: 'mcp math:divide' }, {}, {
        createServer: async context => {
          const server = await createServer(context)
          requireScopes(server, { divide: ['math:divide'] })
          return server
        }
      })
      // with a refresh token the client of SDK 1.x would only refresh, which gives it no further scope
      const person = new Person('alice', sdk1 ? { grant_types: ['authorization_code'] } : {})
      const challenges: Array<[number, string | null]> = []
      const auth: ClientAuth = {
        authProvider: person,
        fetch: async (target, init) => {
          const response = await fetch(target, init)
          if (response.status === 403) challenges.push([403, response.headers.get('www-authenticate')])
          return response
        }
      }
      await t.rejects(connect(url, auth), /Unauthorized/)
      await logIn(url, person, sdk1)
      const client = await connect(url, auth)
      t.teardown(() => client.close())
      await t.rejects(client.call('divide', { l: 6, r: 3 }), /Unauthorized/, 'the client goes to ask for the scope')
      t.match(challenges, [[403, /^Bearer error="insufficient_scope".*scope="mcp math:divide"/]])
      await logIn(url, person, sdk1)
      t.equal(textOf(await client.call('divide', { l: 6, r: 3 })), '2')
    })
  }
}
