import { join } from 'node:path'
import { StreamableHTTPClientTransport as StreamableHTTPClientTransport2 } from '@modelcontextprotocol/client'
import {
  StreamableHTTPClientTransport as StreamableHTTPClientTransport1
} from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import t, { type Test } from 'tap'
import { getMember } from '../../src/members.js'
import { eraClients, textOf, type ClientAuth, type EraClient } from '../eras/era-clients.js'
import { Person } from '../support/person.js'
import { startService } from '../support/service.js'

/*
 * Clients of both SDKs where some tools are public: they come without a token, and log in once they need to.
 */
const POLICY = `
public: { tools: [add] }
scopes: { 'math:divide': { tools: [divide] } }
`
const MODES = ['stateful', 'stateless'] as const
const TOOLS = ['add', 'divide', 'whoami', 'countdown']

/** A request to the MCP endpoint, as a server sees it. */
interface Sent {
  method: string
  hasToken: boolean
  status: number
}

const isMcp = (target: string | URL): boolean => new URL(target).pathname === '/mcp'

/** A person at a service, and what their client has sent. */
async function arrive (t: Test, sessionMode: typeof MODES[number], isSdk1: boolean) {
  const { url } = await startService(t, {
    SESSION_MODE: sessionMode,
    MCP_SCOPES: 'mcp math:divide',
    POLICY_FILE: join(t.testdir({ 'policy.yaml': POLICY }), 'policy.yaml')
  })
  // with a refresh token, the client of SDK 1.x only refreshes where it is asked for more scopes
  const person = new Person('alice', isSdk1 ? { grant_types: ['authorization_code'] } : {})
  const sent: Sent[] = []
  const auth: ClientAuth = {
    authProvider: person,
    fetch: async (target, init) => {
      const response = await fetch(target, init)
      const message: unknown = typeof init?.body === 'string' && isMcp(target) ? JSON.parse(init.body) : undefined
      const method = getMember(message, 'method')
      if (typeof method === 'string' && getMember(message, 'id') !== undefined) {
        sent.push({ method, hasToken: new Headers(init?.headers).has('authorization'), status: response.status })
      }
      return response
    }
  }
  /** Ends the login that a client has begun, with the client's own SDK. */
  const logIn = async () => {
    const endpoint = new URL(`${url}/mcp`)
    const answer = await person.logIn()
    if (isSdk1) {
      const transport = new StreamableHTTPClientTransport1(endpoint, { authProvider: person })
      await transport.finishAuth(answer.get('code') ?? '')
    } else await new StreamableHTTPClientTransport2(endpoint, { authProvider: person }).finishAuth(answer)
  }
  return { url, person, sent, auth, logIn }
}

const add = async (client: EraClient): Promise<string> => textOf(await client.call('add', { l: 1, r: 2 }))
const divide = async (client: EraClient): Promise<string> => textOf(await client.call('divide', { l: 6, r: 3 }))
const whoami = async (client: EraClient): Promise<unknown> => JSON.parse(textOf(await client.call('whoami')))

for (const [name, { modern, connect }] of Object.entries(eraClients)) {
  for (const sessionMode of MODES) {
    t.test(`${name}, ${sessionMode}`, async t => {
      const { url, person, sent, auth, logIn } = await arrive(t, sessionMode, name.startsWith('SDK 1.x'))

      const nobody = await connect(url, auth)
      t.teardown(() => nobody.close())
      t.equal(nobody.revision, modern ? '2026-07-28' : '2025-11-25')
      t.same(await nobody.toolNames(), TOOLS, 'without a token, what is public and what a login gives are listed')
      t.equal(await add(nobody), '3', 'and what is public can be called')
      t.equal(person.authorizationUrl, undefined, 'nobody was sent to log in')
      t.notOk(sent.some(({ hasToken, status }) => hasToken || status !== 200), 'no request had a token, or was refused')

      await t.rejects(whoami(nobody), /Unauthorized/, 'what is protected sends the person to log in')
      t.strictSame(sent.at(-1), { method: 'tools/call', hasToken: false, status: 401 })
      t.equal(scopesAsked(person), 'mcp')
      t.equal(await add(nobody), '3', 'before the login has ended, what is public can be called on')
      await logIn()

      sent.length = 0
      if (sessionMode === 'stateful' && !modern) {
        await t.rejects(whoami(nobody), /404|not found/i, 'the anonymous session does not become the person\'s')
        t.strictSame(sent, [{ method: 'tools/call', hasToken: true, status: 404 }])
      } else {
        t.match(await whoami(nobody), { subject: 'alice', scopes: ['mcp'] }, 'without a session, the client goes on')
      }

      const alice = await connect(url, auth)
      t.teardown(() => alice.close())
      t.same(await alice.toolNames(), TOOLS)
      t.match(await whoami(alice), { subject: 'alice', scopes: ['mcp'] }, 'a new connection is the person\'s')
      t.equal(await add(alice), '3', 'who can call what is public, too')

      sent.length = 0
      await t.rejects(divide(alice), /Unauthorized/, 'what needs one more scope sends the person to allow it')
      t.strictSame(sent, [{ method: 'tools/call', hasToken: true, status: 403 }])
      t.equal(scopesAsked(person), 'mcp math:divide')
      await logIn()
      t.equal(await divide(alice), '2', 'then the same connection has it')
      t.match(await whoami(alice), { subject: 'alice', scopes: ['mcp', 'math:divide'] })
    })
  }
}

/** What the client asks for, but for what it adds to get refresh tokens. */
function scopesAsked ({ authorizationUrl }: Person): string | undefined {
  return authorizationUrl?.searchParams.get('scope')?.replace(/ offline_access$/, '')
}
