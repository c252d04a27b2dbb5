import { Server } from '@modelcontextprotocol/sdk/server/index.js'
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js'
import { McpServer as McpServer2 } from '@modelcontextprotocol/server'
import { pino } from 'pino'
import t from 'tap'
import * as z from 'zod'
import { ANYBODY } from '../../src/app.js'
import type { CreateServer } from '../../src/mcp/create-server.js'
import { lookAtTools } from '../../src/process/look-at-tools.js'
import { parseJson } from '../support/json.js'
import { bearer, callMcp, newTokens, register } from '../support/oauth-flow.js'
import { createServer as sample } from '../support/sample-server.js'
import { startService } from '../support/service.js'

const LogLine = z.object({
  level: z.number(),
  msg: z.string(),
  tool: z.string().optional(),
  tools: z.array(z.string()).optional()
})
const answer = () => ({ content: [] })
const readOnly = { annotations: { readOnlyHint: true } }

/** What the start says of a server's tools. */
async function lookAt (createServer: CreateServer) {
  const lines: Array<z.output<typeof LogLine>> = []
  const log = pino({}, { write: (line: string) => { lines.push(parseJson(line, LogLine)) } })
  await lookAtTools(createServer, ANYBODY, log)
  return lines
}

t.test('tools without readOnlyHint are named', async t => {
  t.same(await lookAt(sample), [])
  const servers: Record<string, CreateServer> = {
    'SDK 1.x': () => {
      const server = new McpServer({ name: 'a', version: '1' })
      server.registerTool('silent', { inputSchema: {} }, answer)
      server.registerTool('vague', { inputSchema: {}, annotations: { title: 'Vague' } }, answer)
      server.registerTool('clear', { inputSchema: {}, ...readOnly }, answer)
      server.registerTool('writes', { inputSchema: {}, annotations: { readOnlyHint: false } }, answer)
      return server
    },
    'SDK 2.x': () => {
      const server = new McpServer2({ name: 'a', version: '1' })
      server.registerTool('silent', { inputSchema: z.object({}) }, answer)
      server.registerTool('vague', { inputSchema: z.object({}), annotations: { title: 'Vague' } }, answer)
      server.registerTool('clear', { inputSchema: z.object({}), ...readOnly }, answer)
      return server
    }
  }
  for (const [sdk, createServer] of Object.entries(servers)) {
    t.match(await lookAt(createServer), [{ level: 40, tools: ['silent', 'vague'], msg: /no annotations.readOnlyHint/ }], sdk)
  }
  t.same(await lookAt(() => new Server({ name: 'a', version: '1' }, {})), [], 'a server without tools')
})

t.test('a server that cannot be made for nobody does not stop the start', async t => {
  const lines = await lookAt(() => { throw new Error('who are you?') })
  t.match(lines, [{ level: 40, msg: /could not be listed at the start/ }])
})

/** A server one of whose tools has a schema that cannot become JSON Schema. */
const withBadTool = (kind: 'inputSchema' | 'outputSchema', bad: z.ZodType): CreateServer => () => {
  const server = new McpServer({ name: 'a', version: '1' })
  server.registerTool('good', { inputSchema: {}, ...readOnly }, answer)
  server.registerTool('bad', { inputSchema: {}, [kind]: { when: bad }, ...readOnly }, answer)
  return server
}

t.test('a tool that hides all others is named, once', async t => {
  for (
    const [kind, bad] of [
      ['inputSchema', z.date()],
      ['inputSchema', z.bigint()],
      ['outputSchema', z.string().transform(Number)],
      ['inputSchema', z.object({ within: z.array(z.map(z.string(), z.string())) })]
    ] as const
  ) {
    const createServer = withBadTool(kind, bad)
    t.match(await lookAt(createServer), [
      { level: 40, tool: 'bad', msg: /the tool "bad" cannot become JSON Schema, so tools\/list fails/ },
      { level: 40, msg: /could not be listed at the start/ }
    ])
    t.match(await lookAt(createServer), [{ msg: /could not be listed at the start/ }], 'not again')
  }
})

t.test('and so it is when a client comes, where nobody looked at the start', async t => {
  for (const SESSION_MODE of ['stateful', 'stateless']) {
    const lines: Array<z.output<typeof LogLine>> = []
    const service = await startService(t, { LOG_LEVEL: 'warn', SESSION_MODE }, {}, {
      createServer: withBadTool('inputSchema', z.date()),
      logStream: { write (line) { lines.push(parseJson(line, LogLine)) } }
    })
    const { accessToken } = await newTokens(service, await register(service))
    for (let calls = 0; calls < 2; calls++) t.equal((await callMcp(service, bearer(accessToken))).status, 200)
    t.match(lines.filter(({ tool }) => tool !== undefined), [{ level: 40, tool: 'bad' }], SESSION_MODE)
    t.equal(lines.filter(({ tool }) => tool !== undefined).length, 1, 'once')
  }
})
