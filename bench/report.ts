import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { join } from 'node:path'
import { parseObject, textAt } from '../test/support/json.js'
import { root } from './build.js'
import { canPin } from './processes.js'
import {
  ATTEMPTS,
  CONNECTIONS,
  IDLE_WITH_STREAM,
  IDLE_WITHOUT_STREAM,
  MEASURED_MS,
  servers,
  UNDISTURBED,
  WARM_UP_MS,
  type Rounds,
  type ServerName,
  type Speed,
  type Weight
} from './workloads.js'

export interface Results {
  calls?: Rounds<Speed>
  stateless?: Array<{ tools: number, rounds: Rounds<Speed> }>
  sessions?: Rounds<Speed>
  withStreams?: Rounds<Weight>
  withoutStreams?: Rounds<Weight>
}

const whole = new Intl.NumberFormat('en', { maximumFractionDigits: 0 })
const tenth = new Intl.NumberFormat('en', { minimumFractionDigits: 1, maximumFractionDigits: 1 })
const hundredth = new Intl.NumberFormat('en', { minimumFractionDigits: 2, maximumFractionDigits: 2 })

function median (values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = Math.floor(sorted.length / 2)
  const upper = sorted[middle] ?? NaN
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? NaN) + upper) / 2
}

const medianOf = <T>(rounds: readonly T[], value: (round: T) => number): number => median(rounds.map(value))

/** Median of the quotients with the reference of the same round; none where the reference was not measured. */
function ratio (rounds: Rounds<Speed>, name: ServerName, value: (round: Speed) => number): string {
  const reference = rounds.get('reference')
  if (reference === undefined) return ''
  return hundredth.format(median((rounds.get(name) ?? []).flatMap((round, index) => {
    const base = reference[index]
    return base === undefined ? [] : [value(round) / value(base)]
  })))
}

function table (head: readonly string[], rows: ReadonlyArray<readonly string[]>): string {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |\n`
  return line(head) + line(head.map((_cell, index) => index === 0 ? '---' : '---:')) + rows.map(line).join('')
}

const speedTable = (rounds: Rounds<Speed>, unit: string): string => table(
  ['Server', `${unit}s/s`, 'to reference', `CPU µs per ${unit}`, 'to reference', 'server busy'],
  [...rounds].map(([name, measured]) => [
    servers[name].title,
    whole.format(medianOf(measured, ({ perSecond }) => perSecond)),
    ratio(rounds, name, ({ perSecond }) => perSecond),
    whole.format(medianOf(measured, ({ cpu }) => cpu)),
    ratio(rounds, name, ({ cpu }) => cpu),
    `${whole.format(medianOf(measured, ({ busy }) => busy) * 100)} %`
  ]))

const weightTable = (rounds: Rounds<Weight>): string => table(
  ['Server', 'RSS, KB per session', 'of it JavaScript heap, KB'],
  [...rounds].map(([name, measured]) => [
    servers[name].title,
    tenth.format(medianOf(measured, ({ rss }) => rss) / 1024),
    tenth.format(medianOf(measured, ({ heap }) => heap) / 1024)
  ]))

/** The tables of what was measured. */
export function tables ({ calls, stateless = [], sessions, withStreams, withoutStreams }: Results): string {
  const sections = []
  if (calls !== undefined) {
    sections.push(
      `## W1: tool calls in a session

The tool \`add\` over ${CONNECTIONS} keep-alive connections, each with a session of its own and one call at a time.

${speedTable(calls, 'request')}`
    )
  }
  for (const { tools, rounds } of stateless) {
    sections.push(
      `## W2: tool calls without sessions, of a server with ${tools === 1 ? '1 tool' : `${tools} tools`}

The tool \`add\` by requests of revision 2026-07-28 over ${CONNECTIONS} keep-alive connections, one call at a time on
each.

${speedTable(rounds, 'request')}`
    )
  }
  if (sessions !== undefined) {
    sections.push(
      `## W3: new sessions

\`initialize\` and \`notifications/initialized\`, one after the other, over ${CONNECTIONS} keep-alive connections.

${speedTable(sessions, 'session')}`
    )
  }
  if (withStreams !== undefined) {
    sections.push(
      `## W4: idle sessions with an open stream\n\n${
        whole.format(IDLE_WITH_STREAM)
      } sessions, each with a \`GET\` stream that is held open. The reference holds as many bare SSE connections.\n\n${
        weightTable(withStreams)
      }`
    )
  }
  if (withoutStreams !== undefined) {
    sections.push(
      `## W4: idle sessions without a stream\n\n${
        whole.format(IDLE_WITHOUT_STREAM)
      } sessions that have said nothing for a while. The reference keeps an entry in a map.\n\n${
        weightTable(withoutStreams)
      }`
    )
  }
  return sections.join('\n')
}

const git = (...parameters: string[]): string => execFileSync('git', parameters, { cwd: root, encoding: 'utf8' }).trim()

const versionOf = (folder: string, name: string): string =>
  textAt(parseObject(readFileSync(join(root, folder, 'node_modules', name, 'package.json'), 'utf8')), 'version')

/** The text of `docs/performance.md`. */
export function performancePage (results: Results, rounds: number): string {
  const changed = git('status', '--porcelain', '--untracked-files=no', 'src') === '' ? '' : ' with uncommitted changes'
  const peers = [
    '@modelcontextprotocol/sdk',
    '@modelcontextprotocol/server',
    '@modelcontextprotocol/node',
    'express',
    'fastify-mcp'
  ]
  return `# Performance

Measured by \`npx -p node@24 npm run bench\` (the Node.js of the container), which writes this page. Commit ${
    git('rev-parse', '--short', 'HEAD')
  }${changed}, Node.js ${process.versions.node},
${new Date().toISOString().slice(0, 10)}, ${cpus()[0]?.model.trim() ?? 'unknown CPU'}, ${
    canPin ? 'the server on one core and the load on another' : 'without cores of their own for server and load'
  }. Fastify ${versionOf('.', 'fastify')} everywhere; peers:
${peers.map(name => `${name} ${versionOf('bench/peers', name)}`).join(', ')}.

## How to read it

Another machine has other figures; what you can compare are the ratios to the **reference**. That is a Fastify route
without MCP: it checks the bearer token (SHA-256, then a map), parses the body, looks the session up in a map (for W2:
it compares the headers with the body), and sends constants. No server that checks its callers can do less work.

Every server runs as its own process, as compiled JavaScript, without logging. All use the same token lookup and the
same hosted server (\`test/support/sample-server.ts\`; for SDK 2.x its counterpart; all sessions share its JSON Schema
validator). The servers take turns: in each of the ${rounds} rounds, each one starts, warms up (${WARM_UP_MS / 1000}
s) and is measured (${MEASURED_MS / 1000} s) once. The tables show medians of the rounds, and medians of the ratios to
the reference in the same round. **CPU per request** says more than requests per second: it is the user and system
time of the server process, independent of the load generator. If a server was less than ${UNDISTURBED * 100} % busy,
it shared its core or waited for the load generator; then the measurement is repeated, up to ${ATTEMPTS - 1} times.
The load generator polls instead of sleeping, because waking it would cost the server time.

The servers do not do the same work. The SDK's transports respond with JSON here, which is their cheaper way;
\`fastify-mcp\` only supports SSE. This project also checks \`Origin\` and \`Host\`, handles CORS, limits what it
stores, can resume a stream, and drops the server instance of an idle session, to create it again at the next request
(after 30 s; for W4 after 1 s). The others keep theirs until the session ends, and none of them ends unused sessions.

In W2, each request gets its own server instance, with shared schemas (\`constantSchema\`) and a shared validator. With
\`reuseInstances\`, an instance serves one request after the other ([eras.md](eras.md)).

Memory is RSS after garbage collection, minus RSS before the sessions were opened, in units of 1,024 bytes. The
JavaScript heap does not include what Node.js and the allocator hold for sockets.

${tables(results)}
## Function entries

How often one request enters a function of this project, from \`app.inject\` with the memory store to the end of its
response, by \`npx tsx bench/entries/run.ts\` (with \`--list\`: which functions).

| Request | commit 5a23f24 | commit d068369 | now |
| --- | ---: | ---: | ---: |
| tools/call, 2025-11-25, live session | 90 | 172 | 162 |
| tools/call, 2026-07-28, SDK 2.x | 90 | 185 | 194 |
| tools/call, 2026-07-28, SDK 1.x bridged | 131 | 222 | 224 |

Between the first two commits came the limits for each person. Since then, a POST is classified once, and a bridged call
passes through fewer hands; also, the tool itself (2 or 3 entries) is no longer counted where SDK 1.x serves it. Two
changes cost as much again: the SDKs are distinguished without \`instanceof\`, and long checks
were split into smaller functions.

## What the profile shows

In a session call (W1), this project's own code takes about 14 µs, of which \`JSON.stringify\` of the response takes 4.
The rest beyond the reference is SDK 1.x and zod: each message is parsed as a result, as an error and as a request,
then twice more as the specific request, then its input and its result. A bare \`Transport\` under SDK 1.x that checks
no more than the reference reaches 0.50 of it. Two things cost more than they seem to. Parsing a request as a result
and as an error fails, and an object in old space keeps zod's failure alive until the next full collection (4 µs each,
and most of the 8 µs of garbage collection). And on Node.js 20, where W1 reached 0.42 to 0.45, an \`AbortController\`
with its signal takes 5 to 7 µs; on Node.js 24 it takes 0.3.

In a 2026-07-28 call (W2, SDK 2.x) with \`reuseInstances\`, nearly everything beside HTTP is the SDK's own handling of
one message: about 50 µs in a process that does nothing else, of the 65 of this project and the SDK together. 15 of
them are zod's failed attempts to parse the request as a response. 10 are the check of the \`_meta\` envelope (zod 4.6
creates several \`WeakMap\`s for each recursive schema that it parses, which also costs garbage collection). The rest
are the \`AbortController\` and the checks of parameters and result. It is the same with 100 tools.

With an instance for each call, 60 to 85 µs are added: 25 for \`McpServer\` and its first tool, 25 for the binding to
the revision, and their garbage collection. The JSON Schema of the called tool, which must be searched for
\`x-mcp-header\`, would take another 15 to 30; \`constantSchema\` saves them here (for the SDK's own handler, too).
Every further tool takes 4 to 6 µs in \`registerTool\`, so a server with 100 tools spends 500 µs there. That is the
factory's own cost, which \`reuseInstances\` saves.

Through the bridge, a call pays for the handling of a message twice, by SDK 2.x and by SDK 1.x. Without
\`reuseInstances\`, it also pays for the 1.x instance: creating it, \`initialize\` through zod, and closing it, which
creates an error with a stack.
`
}
