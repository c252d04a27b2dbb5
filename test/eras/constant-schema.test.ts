import { McpServer, type StandardSchemaWithJSON } from '@modelcontextprotocol/server'
import t from 'tap'
import * as z from 'zod'
import { constantSchema } from '../../src/mcp/constant-schema.js'
import { valueAt } from '../support/json.js'
import { startMcp } from '../support/mcp-harness.js'
import { request } from '../support/raw-http.js'

const operands = z.object({ l: z.number(), r: z.number().default(1) })

t.test('a constant schema makes its JSON Schema once, and checks and advertises as the schema itself', async t => {
  let made = 0
  const { jsonSchema, ...standard } = operands['~standard']
  const counting: StandardSchemaWithJSON<z.input<typeof operands>, z.output<typeof operands>> = {
    '~standard': {
      ...standard,
      jsonSchema: {
        ...jsonSchema,
        input: options => {
          made++
          return jsonSchema.input(options)
        }
      }
    }
  }
  const constant = constantSchema(counting)
  const service = await startMcp(t, {
    createServer: () => {
      const server = new McpServer({ name: 'constant', version: '1' })
      const add = ({ l, r }: { l: number, r: number }) => ({
        content: [{ type: 'text' as const, text: String(l + r) }]
      })
      server.registerTool('constant', { inputSchema: constant }, add)
      server.registerTool('plain', { inputSchema: operands }, add)
      return server
    }
  })
  for (const name of ['constant', 'plain']) {
    t.equal(
      valueAt(
        await request(service.url, 'tools/call', { name, arguments: { l: 2, r: 3 } }),
        'result',
        'content',
        0,
        'text'
      ),
      '5',
      name
    )
    t.equal(
      valueAt(await request(service.url, 'tools/call', { name, arguments: { l: 2 } }), 'result', 'content', 0, 'text'),
      '3',
      `${name}: defaults`
    )
    t.equal(
      valueAt(await request(service.url, 'tools/call', { name, arguments: { l: 'two' } }), 'result', 'isError'),
      true,
      `${name}: bad arguments`
    )
  }
  const listed = await request(service.url, 'tools/list')
  t.match(valueAt(listed, 'result', 'tools', 0, 'inputSchema'), { type: 'object', properties: { l: {}, r: {} } })
  t.same(valueAt(listed, 'result', 'tools', 0, 'inputSchema'), valueAt(listed, 'result', 'tools', 1, 'inputSchema'))
  t.equal(made, 1)
  t.same(
    constant['~standard'].jsonSchema.output({ target: 'draft-2020-12' }),
    operands['~standard'].jsonSchema.output({ target: 'draft-2020-12' })
  )
  t.match(constant['~standard'].jsonSchema.input({ target: 'draft-07' }).$schema, /draft-07/, 'each target has its own')
})
