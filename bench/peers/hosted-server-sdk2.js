import { McpServer } from '@modelcontextprotocol/server'
import { AjvJsonSchemaValidator } from '@modelcontextprotocol/server/validators/ajv'
import * as z from 'zod'

/* test/support/sample-server.ts once more, in the words of SDK 2.x. */
const jsonSchemaValidator = new AjvJsonSchemaValidator()

const operands = z.object({ l: z.number(), r: z.number() })
const nothing = z.object({})
const countdownInput = z.object({
  from: z.number().int().min(0).max(1000).describe('Number to count down from'),
  intervalMs: z.number().int().min(0).max(60_000).default(1000).describe('Milliseconds between two steps')
})
const greetArguments = z.object({ name: z.string().describe('Whom to greet') })

const text = value => ({ content: [{ type: 'text', text: value }] })

export function hostedServerOfSdk2 () {
  const server = new McpServer(
    { name: 'fastify-mcp-oauth', version: '0.1.0' },
    { jsonSchemaValidator, capabilities: { logging: {} } }
  )
  server.registerTool('add', { title: 'Add', description: 'Adds two numbers.', inputSchema: operands },
    ({ l, r }) => text(String(l + r)))
  server.registerTool('divide', { title: 'Divide', description: 'Divides l by r.', inputSchema: operands },
    ({ l, r }) => r === 0 ? { ...text('Division by zero.'), isError: true } : text(String(l / r)))
  server.registerTool('whoami', {
    title: 'Who am I',
    description: 'Tells who the caller is, as the access token says.',
    inputSchema: nothing
  },
  (_input, context) => text(JSON.stringify(context.http?.authInfo?.extra ?? null)))
  server.registerTool('countdown', {
    title: 'Count down',
    description: 'Counts down to zero, reporting progress; can be cancelled.',
    inputSchema: countdownInput
  },
  () => text('Lift-off!'))
  server.registerResource('about', 'about://server', {
    title: 'About',
    description: 'What this server is.',
    mimeType: 'text/plain'
  },
  uri => (
    { contents: [{ uri: uri.href, mimeType: 'text/plain', text: 'A sample MCP server behind fastify-mcp-oauth.' }] }
  ))
  server.registerPrompt('greet', { title: 'Greet', description: 'Asks for a greeting.', argsSchema: greetArguments },
    ({ name }) => (
      { messages: [{ role: 'user', content: { type: 'text', text: `Greet ${name} in one friendly sentence.` } }] }
    ))
  return server
}
