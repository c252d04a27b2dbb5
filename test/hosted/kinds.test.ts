import { once } from 'node:events'
import process from 'node:process'
import { CLIENT_CAPABILITIES_META_KEY, CLIENT_INFO_META_KEY } from '@modelcontextprotocol/server'
import t, { type Test } from 'tap'
import { stdioServer } from '../../src/hosted/stdio/stdio-server.js'
import type { CreateServer } from '../../src/mcp/create-server.js'
import { modernRequest } from '../../src/testing/modern-request.js'
import { eraClients, heardBy, textOf, type EraClient } from '../eras/era-clients.js'
import { parseObject, valueAt } from '../support/json.js'
import { RawClient, startMcp, type McpService } from '../support/mcp-harness.js'
import { eraPlaces, remotePlaces } from './remote/remote-places.js'
import { plainServer, until } from './stdio.js'

/*
 * Every era in front of every kind behind: one program without an SDK, over stdio, or at a service that is remote.
 */
const program = () => stdioServer({ command: process.execPath, args: [plainServer], limits: { graceSeconds: 0.5 } })

const kinds: Record<string, (t: Test) => Promise<CreateServer>> = {
  stdio: async () => program(),
  ...Object.fromEntries(
    Object.entries({ ...remotePlaces, ...eraPlaces }).map(([where, host]) => [where, (t: Test) => host(program(), t)])
  )
}

interface Setting {
  service: McpService
  client: EraClient
  modern: boolean
}

const state = async (client: EraClient) => parseObject(textOf(await client.call('state')))

const features: Record<string, (t: Test, setting: Setting) => Promise<void>> = {
  async 'a call' (t, { client }) {
    t.equal(textOf(await client.call('later', { ms: 1 })), 'late')
  },
  async progress (t, { client }) {
    const steps: number[] = []
    await client.call('progress', {}, { onprogress: ({ progress }) => { steps.push(progress) } })
    // a client misses the steps that arrive in one piece with the result
    t.same(steps, [1, 2, 3].slice(0, steps.length))
    t.ok(steps.length > 0)
  },
  async 'cancellation by the client' (t, { client }) {
    const before = Number(valueAt(await state(client), 'cancelled', 'length'))
    const abort = new AbortController()
    await t.rejects(client.call('hang', {}, { signal: abort.signal, onprogress: () => { abort.abort('enough') } }))
    await until(async () => Number(valueAt(await state(client), 'cancelled', 'length')) > before)
  },
  async elicitation (t, { client }) {
    const asked = once(client.heard, 'asked')
    t.match(parseObject(textOf(await client.call('ask', { message: 'Which?' }))), {
      action: 'accept', content: { colour: 'blue, to Which?' }
    })
    t.same(await asked, ['Which?'])
  },
  async sampling (t, { client }) {
    t.match(parseObject(textOf(await client.call('sample'))), { content: { text: 'sampled' } })
  },
  async completions (t, { client }) {
    t.same(await client.complete('file:///{name}', { name: 'name', value: 'va' }), ['value'])
  },
  async 'an unknown method' (t, { service, modern }) {
    const response = modern ? await askModern(service, 'acme/unknown') : await askLegacy(service, 'acme/unknown')
    t.equal(response.status, modern ? 404 : 200)
    t.match(parseObject(await response.text()), { id: modern ? 7 : /|/, error: { code: -32601 } })
  },
  async 'a method of a feature that the server does not have' (t, { service, modern }) {
    const response = modern ? await askModern(service, 'prompts/list') : await askLegacy(service, 'prompts/list')
    t.equal(response.status, modern ? 404 : 200)
    t.match(parseObject(await response.text()), { error: { code: -32601 } })
  },
  async 'resources/updated and list_changed' (t, { client }) {
    await client.listen('file:///a')
    const heard = Promise.all([
      heardBy(client, 'notifications/resources/updated'),
      heardBy(client, 'notifications/tools/list_changed')
    ])
    t.equal(textOf(await client.call('touch', { uri: 'file:///a' })), 'touched')
    t.match(await heard, [{ uri: 'file:///a' }, {}])
  }
}

async function askModern ({ url }: McpService, method: string): Promise<Response> {
  const { headers, ...request } = modernRequest(7, method, {}, {
    [CLIENT_INFO_META_KEY]: { name: 'raw', version: '1' }, [CLIENT_CAPABILITIES_META_KEY]: {}
  })
  return await fetch(`${url}/mcp`, { ...request, headers: { ...headers, authorization: 'Bearer alice' } })
}

async function askLegacy (service: McpService, method: string): Promise<Response> {
  const client = await new RawClient(service).connect('2025-11-25', {})
  return await client.request(method)
}

for (const [kind, host] of Object.entries(kinds)) {
  for (const [clientName, { modern, connect }] of Object.entries(eraClients)) {
    // the others come to the same as these
    if (clientName !== 'SDK 2.x client, pinned to 2026-07-28' && clientName !== 'SDK 1.x client') continue
    t.test(`${clientName}; ${kind}`, async t => {
      const service = await startMcp(t, { createServer: await host(t) })
      const client = await connect(service.url)
      t.teardown(() => client.close())
      for (const [what, test] of Object.entries(features)) {
        await t.test(what, t => test(t, { service, client, modern }))
      }
    })
  }
}
