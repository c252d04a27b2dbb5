import { setImmediate as turn } from 'node:timers/promises'
import { McpServer } from '@modelcontextprotocol/server'
import * as z from 'zod'
import { buildApp } from '../../src/app.js'
import { loadConfig } from '../../src/config/config.js'
import type { CreateServer } from '../../src/mcp/create-server.js'
import { createServer as hostedServer } from '../../test/support/sample-server.js'
import { ScriptableUpstream, testClient, type TestSession } from '../../src/testing/index.js'
import { modernRequest } from '../../src/testing/modern-request.js'

/*
 * Runs beside the instrumented sources: calls the tool `add` by `app.inject`, with the memory store, and prints as JSON
 * which functions the last call of each kind has entered.
 */
declare global {
  /** Functions that were entered, in this order, while somebody wants to know. */
  var entered: string[] | undefined
}

/** Which functions one request enters, by what the request is. */
export type Entries = Record<string, string[]>

type Inject = Parameters<TestSession['inject']>[0]

const WARM_UP = 3
/** Turns of the event loop after which nothing of a request is left. */
const TURNS = 5
const call = { name: 'add', arguments: { l: 2, r: 3 } }
const operands = z.object({ l: z.number(), r: z.number() })

const serverOfSdk2: CreateServer = () => {
  const server = new McpServer({ name: 'entries', version: '1.0.0' })
  server.registerTool('add', { inputSchema: operands }, ({ l, r }) => ({
    content: [{ type: 'text', text: String(l + r) }]
  }))
  return server
}

function modernCall (): Inject {
  const { body, ...request } = modernRequest(7, 'tools/call', call, {
    'io.modelcontextprotocol/clientInfo': { name: 'entries', version: '1.0.0' },
    'io.modelcontextprotocol/clientCapabilities': {}
  })
  return { ...request, url: '/mcp', payload: body }
}

/** A message of the revisions with sessions. */
function sessionRequest (message: object, headers: Record<string, string> = {}): Inject {
  return {
    method: 'POST',
    url: '/mcp',
    headers: { 'content-type': 'application/json', accept: 'application/json, text/event-stream', ...headers },
    payload: JSON.stringify({ jsonrpc: '2.0', ...message })
  }
}

async function beginSession (session: TestSession): Promise<Inject> {
  const { headers } = await session.inject(sessionRequest({
    id: 1,
    method: 'initialize',
    params: { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'entries', version: '1.0.0' } }
  }))
  const own = { 'mcp-session-id': String(headers['mcp-session-id']), 'mcp-protocol-version': '2025-11-25' }
  await session.inject(sessionRequest({ method: 'notifications/initialized' }, own))
  return sessionRequest({ id: 7, method: 'tools/call', params: call }, own)
}

/** Logs in at a service that hosts a server. */
async function serve<R> (createServer: CreateServer, work: (session: TestSession) => Promise<R>): Promise<R> {
  const upstream = new ScriptableUpstream()
  const config = loadConfig({
    LOG_LEVEL: 'silent',
    MAX_EVENT_LOOP_DELAY_MS: '0',
    OAUTH_ISSUER_URL: upstream.issuer
  }, { dotenv: false })
  const { issuer, fetch } = upstream
  const app = await buildApp(config, {
    createServer,
    upstream: { issuerUrl: new URL(issuer), scopes: ['openid'], extraAuthorizeParams: {}, fetch }
  })
  try {
    return await work(await testClient(app, { upstream }).login())
  } finally {
    await app.close()
  }
}

/** The functions that a request enters once everything is warm, but for those of the client. */
async function count (session: TestSession, request: Inject): Promise<string[]> {
  let last: string[] = []
  for (let round = 0; round <= WARM_UP; round++) {
    globalThis.entered = last = []
    const { statusCode, body } = await session.inject(request)
    for (let count = 0; count < TURNS; count++) await turn()
    globalThis.entered = undefined
    if (statusCode !== 200 || !body.includes('"5"')) throw new Error(`${statusCode}: ${body}`)
  }
  return last.filter(name => !name.startsWith('testing/'))
}

const entries: Entries = {
  'tools/call, 2025-11-25, live session': await serve(hostedServer, async session =>
    await count(session, await beginSession(session))),
  'tools/call, 2026-07-28, SDK 2.x': await serve(serverOfSdk2, async session => await count(session, modernCall())),
  'tools/call, 2026-07-28, SDK 1.x bridged': await serve(hostedServer, async session =>
    await count(session, modernCall()))
}
process.stdout.write(JSON.stringify(entries))
