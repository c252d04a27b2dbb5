import { setTimeout as delay } from 'node:timers/promises'
import { McpServer } from '@modelcontextprotocol/server'
import { AjvJsonSchemaValidator } from '@modelcontextprotocol/server/validators/ajv'
import * as z from 'zod'
import { constantSchema } from '../../src/mcp/constant-schema.js'
import type { CreateServer } from '../../src/mcp/create-server.js'

/*
 * The server of sample-server.ts, written with SDK 2.x.
 */
const jsonSchemaValidator = new AjvJsonSchemaValidator()

const operands = constantSchema(z.object({ l: z.number(), r: z.number() }))
const nothing = constantSchema(z.object({}))
const countdownInput = constantSchema(z.object({
  from: z.number().int().min(0).max(1000).describe('Number to count down from'),
  intervalMs: z.number().int().min(0).max(60_000).default(1000).describe('Milliseconds between two steps')
}))
const greetArguments = z.object({ name: z.string().describe('Whom to greet') })

// none of these tools changes anything, or reaches out of this server: clients need not ask before they call one
const annotations = { readOnlyHint: true, destructiveHint: false, idempotentHint: true, openWorldHint: false }

const text = (value: string) => ({ content: [{ type: 'text' as const, text: value }] })

export const createServer: CreateServer = ({ log }) => {
  const server = new McpServer({ name: 'sample', version: '1.0.0' }, {
    jsonSchemaValidator,
    capabilities: { logging: {} }
  })

  server.registerTool('add', { title: 'Add', description: 'Adds two numbers.', inputSchema: operands, annotations },
    ({ l, r }) => text(String(l + r)))

  server.registerTool('divide', { title: 'Divide', description: 'Divides l by r.', inputSchema: operands, annotations },
    ({ l, r }) => r === 0 ? { ...text('Division by zero.'), isError: true } : text(String(l / r)))

  server.registerTool('whoami', {
    title: 'Who am I',
    description: 'Returns who the caller is, according to the access token.',
    inputSchema: nothing,
    annotations
  }, (_input, { http }) => {
    const { extra, clientId, scopes } = http?.authInfo ?? {}
    return text(JSON.stringify({ subject: extra?.subject, issuer: extra?.issuer, client: clientId, scopes }))
  })

  server.registerTool('countdown', {
    title: 'Count down',
    description: 'Counts down to zero, reporting progress; can be cancelled.',
    inputSchema: countdownInput,
    annotations
  }, async ({ from, intervalMs }, { mcpReq: { signal, notify, _meta } }) => {
    for (let left = from; left > 0; left--) {
      if (_meta?.progressToken !== undefined) {
        await notify({
          method: 'notifications/progress',
          params: { progressToken: _meta.progressToken, progress: from - left, total: from, message: `${left} to go` }
        })
      }
      await delay(intervalMs, undefined, { signal })
    }
    log.debug({ from }, 'counted down')
    return text('Lift-off!')
  })

  server.registerResource(
    'about',
    'about://server',
    { title: 'About', description: 'What this server is.', mimeType: 'text/plain' },
    uri => ({
      contents: [{ uri: uri.href, mimeType: 'text/plain', text: 'A sample MCP server.' }]
    })
  )

  server.registerPrompt(
    'greet',
    { title: 'Greet', description: 'Asks for a greeting.', argsSchema: greetArguments },
    ({ name }) => ({
      messages: [{ role: 'user', content: { type: 'text', text: `Greet ${name} in one friendly sentence.` } }]
    })
  )

  return server
}
