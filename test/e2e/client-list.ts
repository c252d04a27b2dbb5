import { readdirSync, readFileSync } from 'node:fs'
import { installedVersion } from '../support/installed-version.js'
import { parseObject } from '../support/json.js'
import { mcpRemote, sdk1Http, sdk1Sse, sdk2, type Journey } from './journeys.js'

/** A client that the tests run, or that they imitate by what it publishes of itself. */
export interface TestedClient {
  name: string
  version: string
  /** What it did. */
  tried: string
  /** What runs it. */
  by: string
  /** What an operator sets for it. */
  set: string
}

/** Assistants and the Inspector, which are installed to be tried; these versions. */
export const INSTALLED = { codex: '0.171.0', opencode: '1.18.33', inspector: '2.12' } as const

const NOTHING = 'nothing'

/** Clients that are among our own dependencies, and what each does. */
export const journeys: ReadonlyArray<TestedClient & { journey: Journey }> = [
  ['SDK 1.x, Streamable HTTP', '@modelcontextprotocol/sdk', sdk1Http] as const,
  ['SDK 1.x, HTTP+SSE', '@modelcontextprotocol/sdk', sdk1Sse] as const,
  ['SDK 2.x, Streamable HTTP, legacy', '@modelcontextprotocol/client', sdk2('legacy')] as const,
  ['SDK 2.x, Streamable HTTP, auto (2026-07-28)', '@modelcontextprotocol/client', sdk2('auto')] as const,
  ['mcp-remote, http-first', 'mcp-remote', mcpRemote('http-first')] as const,
  ['mcp-remote, sse-only', 'mcp-remote', mcpRemote('sse-only')] as const
].map(([name, npm, journey]) => ({
  name,
  version: installedVersion(npm),
  tried: 'registration, login, tool calls',
  by: 'test/e2e/clients.ts',
  set: NOTHING,
  journey
}))

const assistants: readonly TestedClient[] = [
  {
    name: 'MCP Inspector, command line and web UI',
    version: INSTALLED.inspector,
    tried: 'registration, login, a tool call; both transports and 2026-07-28',
    by: 'test/e2e/inspector.ts',
    set: NOTHING
  },
  {
    name: 'Codex CLI',
    version: INSTALLED.codex,
    tried: 'registration, login, a tool call that its model asks for',
    by: 'test/e2e/assistants.ts',
    set: '`CLIENT_METADATA_DOCUMENTS=off` if the service cannot reach chatgpt.com'
  },
  {
    name: 'opencode',
    version: INSTALLED.opencode,
    tried: 'registration, login, a tool call that its model asks for',
    by: 'test/e2e/assistants.ts',
    set: NOTHING
  }
]

/** Where the published documents are; test/oauth/published-documents.test.ts logs in with each. */
export const DOCUMENTS = new URL('../oauth/documents/', import.meta.url)

const published: readonly TestedClient[] = readdirSync(DOCUMENTS).sort().map(file => {
  const { asOf, published: url, document, requests } = parseObject(readFileSync(new URL(file, DOCUMENTS), 'utf8'))
  const { client_name: name } = parseObject(JSON.stringify(document))
  return {
    name: `${String(name)}, by [its metadata document](${String(url)})`,
    version: `of ${String(asOf)}`,
    tried: 'login, an MCP request, refresh, by each way of client authentication that it lists',
    by: 'test/oauth/published-documents.test.ts',
    // a client that the person runs comes back to loopback; any other calls from its own servers
    set: JSON.stringify(requests).includes('"http://') ? NOTHING : 'a public https address as `PUBLIC_URL`'
  }
})

/** Every client that the tests run; docs/compatibility.md is made from it. */
export const clients: readonly TestedClient[] = [...journeys, ...assistants, ...published]
