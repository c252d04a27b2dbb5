import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { Readable } from 'node:stream'
import {
  StreamableHTTPClientTransport as StreamableHTTPClientTransport2,
  UnauthorizedError as UnauthorizedError2
} from '@modelcontextprotocol/client'
import { UnauthorizedError } from '@modelcontextprotocol/sdk/client/auth.js'
import { SSEClientTransport } from '@modelcontextprotocol/sdk/client/sse.js'
import { getDefaultEnvironment, StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js'
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import { makeClient1, makeClient2, using1, using2 } from '../hosted/using-clients.js'
import { Browser, logIn } from '../support/browser.js'
import { freePort } from '../support/free-port.js'
import { root } from '../support/root.js'
import { Person } from '../support/person.js'
import type { Visit } from './visits.js'

const MCP_REMOTE = resolve(root, 'node_modules/mcp-remote/dist/proxy.js')

/** What a client does at a service, from its first 401 to its end. Rejects where it does not get what it wants. */
export type Journey = (url: string, visit: Visit) => Promise<void>

/** SDK 1.x: login, what its person wants, and a token refreshed on the way. */
async function sdk1 (
  { name, use, check }: Visit,
  transportFor: (person: Person) => StreamableHTTPClientTransport | SSEClientTransport
): Promise<void> {
  const person = new Person(name)
  const first = transportFor(person)
  await assert.rejects(makeClient1().connect(first), UnauthorizedError)
  await first.finishAuth((await person.logIn()).get('code') ?? '')
  const client = makeClient1()
  const transport = transportFor(person)
  await client.connect(transport)
  try {
    await use(using1(client))
    person.saveTokens({ ...person.tokens(), access_token: 'expired', token_type: 'bearer' })
    await check(using1(client))
    assert.notEqual(person.accessToken, 'expired', 'a token that was refreshed on the way')
    if (transport instanceof StreamableHTTPClientTransport) await transport.terminateSession()
  } finally {
    await client.close()
  }
}

export const sdk1Http: Journey = async (url, visit) => {
  await sdk1(visit, person => new StreamableHTTPClientTransport(new URL(`${url}/mcp`), { authProvider: person }))
}
export const sdk1Sse: Journey = async (url, visit) => {
  await sdk1(visit, person => new SSEClientTransport(new URL(`${url}/sse`), { authProvider: person }))
}

/** SDK 2.x in one of its modes of finding out the revision. */
export function sdk2 (mode: 'legacy' | 'auto'): Journey {
  return async (url, { name, use }) => {
    const person = new Person(name)
    const transportFor = () => new StreamableHTTPClientTransport2(new URL(`${url}/mcp`), { authProvider: person })
    const first = transportFor()
    await assert.rejects(makeClient2(mode).connect(first), UnauthorizedError2)
    await first.finishAuth(await person.logIn())
    const client = makeClient2(mode)
    await client.connect(transportFor())
    try {
      assert.equal(client.getProtocolEra(), mode === 'auto' ? 'modern' : 'legacy')
      await use(using2(client))
    } finally {
      await client.close()
    }
  }
}

/** `mcp-remote`, which editors without OAuth start, and talk to over stdio. */
export function mcpRemote (strategy: 'http-first' | 'sse-only'): Journey {
  return async (url, { name, use }) => {
    const configuration = mkdtempSync(join(tmpdir(), 'mcp-remote-'))
    const endpoint = `${url}/${strategy === 'sse-only' ? 'sse' : 'mcp'}`
    const transport = new StdioClientTransport({
      command: process.execPath,
      // its own choice of a port to come back to is the same for every person
      args: [MCP_REMOTE, endpoint, String(await freePort()), '--transport', strategy],
      stderr: 'pipe',
      // an empty PATH: nothing to open a browser with
      env: { ...getDefaultEnvironment(), PATH: '/nonexistent', MCP_REMOTE_CONFIG_DIR: configuration }
    })
    const client = makeClient1()
    const { stderr } = transport
    if (!(stderr instanceof Readable)) throw new Error('mcp-remote has no stderr')
    const asked = authorizationUrlIn(stderr)
    try {
      const connected = client.connect(transport)
      const loginUrl = await Promise.race([
        asked,
        connected.then(() => {
          throw new Error('connected without a login')
        })
      ])
      const { url: end, html } = await logIn(new Browser(), loginUrl, name)
      assert.match(end.pathname, /^\/oauth\/callback$/, `the login ended at ${end.href}: ${html}`)
      await connected
      await use(using1(client))
    } finally {
      await client.close()
      rmSync(configuration, { recursive: true })
    }
  }
}

/** The URL to log in at that a client prints. */
export async function authorizationUrlIn (output: Readable): Promise<string> {
  const lines = createInterface({ input: output })
  const printed: string[] = []
  const url = new Promise<string>(resolve =>
    lines.on('line', line => {
      printed.push(line)
      const url = /https?:\S+\/authorize\?\S+/.exec(line)?.[0]
      if (url !== undefined) resolve(url)
    })
  )
  return await Promise.race([
    url,
    once(lines, 'close').then(() => {
      throw new Error(`It did not ask to log in: ${printed.join('\n')}`)
    })
  ])
}
