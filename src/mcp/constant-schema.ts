import type { StandardSchemaWithJSON } from '@modelcontextprotocol/server'

type Convert = StandardSchemaWithJSON['~standard']['jsonSchema']['input']

/**
 * The same schema, with its JSON Schema made once. SDK 2.x asks every new server, so at every request of 2026-07-28,
 * for the schema of the tool that is called (SEP-2243), and zod makes it again each time. Wrap the schemas of tools at
 * their definition, outside of `createServer`.
 * @example
 * ```ts
 * import { McpServer } from '@modelcontextprotocol/server'
 * import { constantSchema, type CreateServer } from 'fastify-mcp-oauth'
 * import * as z from 'zod'
 *
 * const inputSchema = constantSchema(z.object({ text: z.string() }))
 *
 * export const createServer: CreateServer = () => {
 *   const server = new McpServer({ name: 'echo', version: '1.0.0' })
 *   server.registerTool('echo', { inputSchema }, ({ text }) => ({ content: [{ type: 'text', text }] }))
 *   return server
 * }
 * ```
 */
export function constantSchema<Input, Output> (
  schema: StandardSchemaWithJSON<Input, Output>
): StandardSchemaWithJSON<Input, Output> {
  const { jsonSchema, ...standard } = schema['~standard']
  return {
    '~standard': {
      ...standard,
      jsonSchema: {
        input: once(options => jsonSchema.input(options)),
        output: once(options => jsonSchema.output(options))
      }
    }
  }
}

function once (convert: Convert): Convert {
  const made = new Map<string, ReturnType<Convert>>()
  return options => {
    // a library's options are not a cache key
    if (options.libraryOptions !== undefined) return convert(options)
    let schema = made.get(options.target)
    if (schema === undefined) made.set(options.target, schema = convert(options))
    return schema
  }
}
