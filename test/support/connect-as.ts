import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import type { Test } from 'tap'
import { Person } from './person.js'

/**
 * Connects a client of SDK 1.x as a person who logs in for it, the way a client does that was given nothing but the
 * URL. It closes with the test.
 */
export async function connectAs (t: Test, url: string, person: string | Person): Promise<Client> {
  const authProvider = typeof person === 'string' ? new Person(person) : person
  const clientInfo = { name: 'test', version: '1.0.0' }
  const first = new StreamableHTTPClientTransport(new URL(url), { authProvider })
  await t.rejects(new Client(clientInfo).connect(first), { message: /Unauthorized/ }, 'the client is sent to log in')
  await first.finishAuth((await authProvider.logIn()).get('code') ?? '')
  const client = new Client(clientInfo)
  await client.connect(new StreamableHTTPClientTransport(new URL(url), { authProvider }))
  t.teardown(() => client.close())
  return client
}
