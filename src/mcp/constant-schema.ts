import type { StandardSchemaWithJSON } from '@modelcontextprotocol/server'

type Convert = StandardSchemaWithJSON['~standard']['jsonSchema']['input']

/**
 * The same schema, whose JSON Schema is made once. SDK 2.x asks for it in every server that is made, so at every stateless
 * request, for the tool that is called (2026-07-28, SEP-2243), and zod makes it anew. Wrap schemas of tools where they are
 * made, outside of `createServer`.
 * @example const operands = constantSchema(z.object({ l: z.number(), r: z.number() }))
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
    // other options of a library have no name to be kept by
    if (options.libraryOptions !== undefined) return convert(options)
    let schema = made.get(options.target)
    if (schema === undefined) made.set(options.target, schema = convert(options))
    return schema
  }
}
