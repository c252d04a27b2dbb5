import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { Readable } from 'node:stream'
import {
  Client as Client2,
  StreamableHTTPClientTransport as StreamableHTTPClientTransport2,
  UnauthorizedError as UnauthorizedError2
} from '@modelcontextprotocol/client'
import { UnauthorizedError } from '@modelcontextprotocol/sdk/client/auth.js'
import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { SSEClientTransport } from '@modelcontextprotocol/sdk/client/sse.js'
import { getDefaultEnvironment, StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js'
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import { Browser, logIn } from '../support/browser.js'
import { root } from '../support/root.js'
import { Person } from '../support/person.js'

const clientInfo = { name: 'e2e', version: '1.0.0' }
const MCP_REMOTE = resolve(root, 'node_modules/mcp-remote/dist/proxy.js')
const five = [{ type: 'text', text: '5' }]
const sum = { name: 'add', arguments: { l: 2, r: 3 } }
// a client of SDK 1.x misses the steps that arrive in one piece with the result
const countdown = { name: 'countdown', arguments: { from: 3, intervalMs: 100 } }

/** What a client does at a service, from its first 401 to its end. Rejects where it does not get what it wants. */
export type Journey = (url: string) => Promise<void>

/** SDK 1.x: login, a call, a stream of progress, and a token refreshed on the way. */
async function sdk1 (
  transportFor: (person: Person) => StreamableHTTPClientTransport | SSEClientTransport
): Promise<void> {
  const person = new Person('alice')
  const first = transportFor(person)
  await assert.rejects(new Client(clientInfo).connect(first), UnauthorizedError)
  await first.finishAuth((await person.logIn()).get('code') ?? '')
  const client = new Client(clientInfo)
  const transport = transportFor(person)
  await client.connect(transport)
  try {
    assert.deepEqual((await client.callTool(sum)).content, five)
    let steps = 0
    await client.callTool(countdown, undefined, { onprogress: () => { steps++ } })
    assert.equal(steps, 3, 'three steps of progress')
    assert.match(JSON.stringify((await client.callTool({ name: 'whoami', arguments: {} })).content), /alice/)
    person.saveTokens({ ...person.tokens(), access_token: 'expired', token_type: 'bearer' })
    assert.deepEqual((await client.callTool(sum)).content, five, 'with a token that was refreshed on the way')
    if (transport instanceof StreamableHTTPClientTransport) await transport.terminateSession()
  } finally {
    await client.close()
  }
}

export const sdk1Http: Journey = async url => {
  await sdk1(person => new StreamableHTTPClientTransport(new URL(`${url}/mcp`), { authProvider: person }))
}
export const sdk1Sse: Journey = async url => {
  await sdk1(person => new SSEClientTransport(new URL(`${url}/sse`), { authProvider: person }))
}

/** SDK 2.x in one of its modes of finding out the revision. */
export function sdk2 (mode: 'legacy' | 'auto'): Journey {
  return async url => {
    const person = new Person('bob')
    const transportFor = () => new StreamableHTTPClientTransport2(new URL(`${url}/mcp`), { authProvider: person })
    const first = transportFor()
    await assert.rejects(new Client2(clientInfo, { versionNegotiation: { mode } }).connect(first), UnauthorizedError2)
    await first.finishAuth(await person.logIn())
    const client = new Client2(clientInfo, { versionNegotiation: { mode } })
    await client.connect(transportFor())
    try {
      assert.deepEqual((await client.callTool(sum)).content, five)
      let steps = 0
      await client.callTool(countdown, { onprogress: () => { steps++ } })
      assert.equal(steps, 3, 'three steps of progress')
    } finally {
      await client.close()
    }
  }
}

/** `mcp-remote`, which editors without OAuth start, and talk to over stdio. */
export function mcpRemote (strategy: 'http-first' | 'sse-only'): Journey {
  return async url => {
    const configuration = mkdtempSync(join(tmpdir(), 'mcp-remote-'))
    const transport = new StdioClientTransport({
      command: process.execPath,
      args: [MCP_REMOTE, `${url}/${strategy === 'sse-only' ? 'sse' : 'mcp'}`, '--transport', strategy],
      stderr: 'pipe',
      // an empty PATH: nothing to open a browser with
      env: { ...getDefaultEnvironment(), PATH: '/nonexistent', MCP_REMOTE_CONFIG_DIR: configuration }
    })
    const client = new Client(clientInfo)
    const { stderr } = transport
    if (!(stderr instanceof Readable)) throw new Error('mcp-remote has no stderr')
    const asked = authorizationUrlIn(stderr)
    try {
      const connected = client.connect(transport)
      await logIn(
        new Browser(),
        await Promise.race([
          asked,
          connected.then(() => {
            throw new Error('connected without a login')
          })
        ])
      )
      await connected
      assert.deepEqual((await client.callTool(sum)).content, five)
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
