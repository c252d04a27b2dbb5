import { Report } from '../support/report.js'
import { scriptArguments } from '../support/script-arguments.js'
import { mcpRemote, sdk1Http, sdk1Sse, sdk2, type Journey } from './journeys.js'
import { targetOf } from './targets.js'

/*
 * Clients at a running service.
 * Each logs in, calls `add` with 2 and 3, and gets 5.
 */
const { positionals: [chosen = 'start'] } = scriptArguments(
  'npx tsx test/e2e/clients.ts [start | consumer | dist-redis | URL]'
)
const clients: Record<string, Journey> = {
  'SDK 1.x, Streamable HTTP': sdk1Http,
  'SDK 1.x, HTTP+SSE': sdk1Sse,
  'SDK 2.x, Streamable HTTP, legacy': sdk2('legacy'),
  'SDK 2.x, Streamable HTTP, auto (2026-07-28)': sdk2('auto'),
  'mcp-remote, http-first': mcpRemote('http-first'),
  'mcp-remote, sse-only': mcpRemote('sse-only')
}

const target = await targetOf(chosen)
const report = new Report(`Clients at ${chosen}, ${target.url}`)
for (const [client, journey] of Object.entries(clients)) await report.attempt(client, () => journey(target.url))
await target.stop()
report.end()
