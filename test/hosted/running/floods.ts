import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import process from 'node:process'
import type { Test } from 'tap'
import { remoteServer } from '../../../src/hosted/remote/remote-server.js'
import type { RemoteServerOptions } from '../../../src/hosted/remote/options.js'
import { stdioServer } from '../../../src/hosted/stdio/stdio-server.js'
import type { StdioServerOptions } from '../../../src/hosted/stdio/options/options.js'
import type { CreateServer } from '../../../src/mcp/create-server.js'
import type { McpTransportsOptions } from '../../../src/mcp/options.js'
import { getMember } from '../../../src/members.js'
import { RawClient, startMcp } from '../../support/mcp-harness.js'
import { callTool, plainServer, until } from '../stdio.js'
import { readers, type PacedCall } from './readers.js'

export const MESSAGES = 200
const BYTES = 100_000

export const program = (blocked: string, options: Partial<StdioServerOptions> = {}) => stdioServer({
  command: process.execPath,
  args: [plainServer],
  env: { BLOCKED: blocked },
  limits: { graceSeconds: 0.5 },
  ...options
})

/** Leads to a program at another service, as the person that calls. */
export async function remote (
  t: Test,
  blocked: string,
  options: Partial<RemoteServerOptions> = {}
): Promise<CreateServer> {
  const { url } = await startMcp(t, { createServer: program(blocked, { per: 'session' }) })
  const endpoint = options.transport === 'sse' ? 'sse' : 'mcp'
  return remoteServer({ url: `${url}/${endpoint}`, auth: 'upstream-token', ...options })
}

/** @param streams in place of the defaults */
export async function startFlood (
  t: Test,
  host: (t: Test, blocked: string) => Promise<CreateServer>,
  streams: McpTransportsOptions['streams'] = {}
) {
  const blocked = join(t.testdir({ blocked: '' }), 'blocked')
  const service = await startMcp(t, {
    createServer: await host(t, blocked),
    limits: { maxUnreadBytesPerStream: 4_000_000 },
    streams,
    getUpstreamAccessToken: async ({ extra }) => extra.subject
  })
  return {
    service,
    flood: { messages: MESSAGES, bytes: BYTES },
    waitUntilBlocked: async () => {
      await until(() => readFileSync(blocked, 'utf8') !== '')
      return Number(readFileSync(blocked, 'utf8').split('\n')[0])
    }
  }
}

async function checkAll (t: Test, call: PacedCall): Promise<void> {
  const messages = await call.read()
  t.match(messages.pop(), { result: { content: [{ text: 'flooded' }] } })
  const steps = messages.map(({ params }) => getMember(params, 'progress'))
  t.same(steps, Array.from({ length: MESSAGES }, (_, index) => index + 1), 'nothing is lost')
}

/** It is slowed down to its client, others are served meanwhile, and nothing is lost. */
export function checkFloods (t: Test, place: string, host: (t: Test, blocked: string) => Promise<CreateServer>): void {
  for (const [era, begin] of Object.entries(readers)) {
    t.test(`${place}, ${era}`, async t => {
      const { service, flood, waitUntilBlocked } = await startFlood(t, host)
      const call = await begin(service.url, 'alice', 'flood', flood)
      const ahead = await waitUntilBlocked()
      t.ok(ahead < MESSAGES, `it waits after ${ahead} messages`)
      const bob = await new RawClient(service, 'bob').connect()
      t.match(await callTool(bob, 'pid'), { text: /^\d+$/ }, 'others are served')
      await checkAll(t, call)
    })
  }
}
