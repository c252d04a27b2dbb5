import { McpServer as McpServer1 } from '@modelcontextprotocol/sdk/server/mcp.js'
import { McpServer as McpServer2 } from '@modelcontextprotocol/server'
import t from 'tap'
import { createMemoryStores } from '../../src/stores/memory/stores.js'
import { host, ISSUER, WAYS } from '../attacks/eras.js'

/*
 * The code of docs/your-server.md that reads who calls, with either SDK, in every era.
 */
function createServer1 () {
  const server = new McpServer1({ name: 'orders', version: '1.0.0' })
  server.registerTool('my_account', { title: 'My account' }, ({ authInfo }) => {
    const { email, email_verified: isVerified } = readClaims(authInfo?.extra)
    const text = typeof email === 'string' && isVerified === true ? email : 'This account has no verified address.'
    return { content: [{ type: 'text', text }] }
  })
  return server
}

function createServer2 () {
  const server = new McpServer2({ name: 'orders', version: '1.0.0' })
  server.registerTool('my_account', { title: 'My account' }, ({ http }) => {
    const { email, email_verified: isVerified } = readClaims(http?.authInfo?.extra)
    const text = typeof email === 'string' && isVerified === true ? email : 'This account has no verified address.'
    return { content: [{ type: 'text', text }] }
  })
  return server
}

/** What the login server says of the person: any JSON, so look at the type of each claim. */
function readClaims (extra: Record<string, unknown> | undefined): Record<string, unknown> {
  const claims = extra?.claims
  return typeof claims === 'object' && claims !== null ? { ...claims } : {}
}

const CLAIMS: Readonly<Record<string, Record<string, unknown>>> = {
  alice: { email: 'alice@example.com', email_verified: true },
  bob: { email: 'alice@example.com', email_verified: false },
  carol: {}
}

for (const [name, way] of Object.entries(WAYS)) {
  for (const [line, createServer] of Object.entries({ 'SDK 1.x': createServer1, 'SDK 2.x': createServer2 })) {
    t.test(`${name}, ${line}: a tool knows who calls`, async t => {
      const { sessionMode, reuseInstances = false } = way
      const service = await host(t, {
        createServer,
        stores: createMemoryStores({ sessionIdleSeconds: 60 }),
        sessionMode,
        reuseInstances,
        auth: {
          mode: 'host',
          authorizationServers: [ISSUER],
          verifyAccessToken: subject => {
            const extra = { issuer: ISSUER, subject, claims: CLAIMS[subject] ?? {} }
            return { token: subject, clientId: 'client', scopes: ['mcp'], extra }
          }
        }
      })
      const told = new Map<string, unknown>()
      for (const person of Object.keys(CLAIMS)) {
        const caller = await way.connect(t, service, person)
        const { responses: [response] } = await caller.ask(person, [{
          method: 'tools/call', params: { name: 'my_account', arguments: {} }
        }])
        told.set(person, response?.result?.content)
      }
      const none = [{ type: 'text', text: 'This account has no verified address.' }]
      t.same([...told], [
        ['alice', [{ type: 'text', text: 'alice@example.com' }]], ['bob', none], ['carol', none]
      ])
    })
  }
}
