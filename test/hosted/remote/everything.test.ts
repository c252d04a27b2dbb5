import { join } from 'node:path'
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js'
import t, { type Test } from 'tap'
import { remoteServer } from '../../../src/hosted/remote/remote-server.js'
import { connect1, connect2, type ClientAuth } from '../../eras/era-clients.js'
import { client1, featureClients, type FeatureClient } from '../../mcp/feature-clients.js'
import { startMcp, type McpService } from '../../support/mcp-harness.js'
import { root } from '../../support/root.js'
import { runEverything } from '../run-everything.js'

/*
 * Somebody else's server, from npm, behind every kind of client.
 */

type Client = Pick<FeatureClient, 'call' | 'toolNames' | 'close'>

const bearer = (token: string): ClientAuth => ({ requestInit: { headers: { authorization: `Bearer ${token}` } } })

const clients: Record<string, (service: McpService, token: string) => Promise<Client>> = {
  'SDK 2.x client, 2026-07-28': ({ url }, token) => connect2(url, { pin: '2026-07-28' }, bearer(token)),
  'SDK 2.x client, legacy': ({ url }, token) => connect2(url, 'legacy', bearer(token)),
  'SDK 1.x client': ({ url }, token) => connect1(url, bearer(token)),
  'mcp-remote': async ({ url }, token) => await client1(new StdioClientTransport({
    command: process.execPath,
    args: [
      join(root, 'node_modules/mcp-remote/dist/proxy.js'), `${url}/mcp`, '--allow-http',
      '--header', `Authorization:Bearer ${token}`
    ],
    stderr: 'ignore'
  }))
}

const kinds = { 'Streamable HTTP': 'streamableHttp', 'HTTP+SSE, found out': 'sse' } as const

const textOf = ({ content }: { content: unknown[] }) => JSON.stringify(content)

for (const [kind, transport] of Object.entries(kinds)) {
  t.test(kind, async t => {
    const { url, stop } = await runEverything(transport)
    t.teardown(stop)
    const service = await startMcp(t, { createServer: remoteServer({ url }) })
    const [, connectSse] = Object.entries(featureClients).find(([name]) => name.endsWith('HTTP+SSE')) ?? []
    if (connectSse === undefined) throw new Error('there is no such client')
    const all: typeof clients = { ...clients, 'SDK 1.x client, HTTP+SSE': async service => await connectSse(service) }
    for (const [name, connect] of Object.entries(all)) {
      t.test(name, async t => {
        const client = await connect(service, 'alice')
        t.teardown(() => client.close())
        await works(t, client)
      })
    }

    t.test('two people at once', async t => {
      const sessionOf = async (client: Client) =>
        /session ([\w-]+)/.exec(textOf(await client.call('toggle-subscriber-updates')))?.[1]
      const [alice, bob] = await Promise.all(['alice', 'bob'].map(token => connect1(service.url, bearer(token))))
      if (alice === undefined || bob === undefined) throw new Error('no client')
      const sessions = await Promise.all([alice, bob].map(sessionOf))
      t.notOk(sessions.includes(undefined))
      t.equal(new Set(sessions).size, 2, 'each has a session there')
      t.same(await Promise.all([alice, bob].map(sessionOf)), sessions, 'which stays')
      await Promise.all([alice.close(), bob.close()])
    })
  })
}

async function works (t: Test, client: Client): Promise<void> {
  t.ok((await client.toolNames()).includes('echo'), 'tools')
  t.match(textOf(await client.call('echo', { message: 'hello' })), /Echo: hello/)
  const updates: number[] = []
  const onprogress = ({ progress }: { progress: number }) => { updates.push(progress) }
  const long = await client.call('trigger-long-running-operation', { duration: 0.4, steps: 4 }, { onprogress })
  t.match(textOf(long), /completed/)
  t.ok(updates.length >= 3, `progress: ${updates.join()}`)
  t.match(textOf(await client.call('trigger-elicitation-request')), /accept|provided/i, 'elicitation')
  t.match(textOf(await client.call('trigger-sampling-request', { prompt: 'x', maxTokens: 5 })), /echo/, 'sampling')
  const abort = new AbortController()
  const call = client.call('trigger-long-running-operation', { duration: 20, steps: 4 }, { signal: abort.signal })
  setTimeout(() => { abort.abort() }, 100)
  await t.rejects(call, 'cancelled')
  t.match(textOf(await client.call('echo', { message: 'again' })), /Echo: again/)
}
