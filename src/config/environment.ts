import { Type, type Static, type TSchema } from '@sinclair/typebox'
import { Ajv } from 'ajv'
import envSchema from 'env-schema'
import { ConfigError } from '../errors.js'
import { MAX_TIMER_SECONDS } from '../validation/values.js'
import { mcpVariables } from './variables/mcp.js'
import { oauthVariables } from './variables/oauth.js'
import { operationVariables } from './variables/operations.js'
import { processVariables } from './variables/process.js'

/** Every environment variable, with its meaning and its default. `.env.example` is made from it. */
export const EnvironmentSchema = Type.Object({
  ...processVariables,
  ...oauthVariables,
  ...mcpVariables,
  ...operationVariables
})

export type Environment = Static<typeof EnvironmentSchema>

// made once: it keeps the compiled schema, which takes a tenth of a second
const ajv = new Ajv({
  verbose: true,
  coerceTypes: true,
  useDefaults: true,
  removeAdditional: true,
  allowUnionTypes: true,
  keywords: ['kind']
})

/**
 * Reads the environment, and `.env` if `dotenv` is set.
 * @throws {ConfigError} with one line that names the variable, what it got and what it takes
 */
export function parseEnvironment (environment: NodeJS.ProcessEnv, dotenv: boolean): Environment {
  // an empty variable counts as unset (compose files write them so)
  const data = Object.fromEntries(
    Object.entries(environment).filter(([name, value]) =>
      Object.hasOwn(EnvironmentSchema.properties, name) && value !== ''
    )
  )
  try {
    return envSchema<Environment>({ schema: EnvironmentSchema, data, env: false, dotenv, ajv })
  } catch (error) {
    const fault = ajv.errors?.[0]
    if (fault === undefined) throw error
    const name = fault.instancePath.slice(1)
    throw new ConfigError(
      `${name} is ${JSON.stringify(fault.data)}; it takes ${accepts(name, fault.keyword === 'maximum')}.`,
      { cause: error }
    )
  }
}

/** What a variable takes, in words. @param whole also shows a maximum that is too high to matter */
export function accepts (name: string, whole = false): string {
  const properties: Record<string, TSchema> = EnvironmentSchema.properties
  const schema = properties[name]
  if (schema === undefined) return 'another value'
  if (Array.isArray(schema.anyOf)) {
    return schema.anyOf.map((member: { const?: unknown }) => String(member.const)).join(', ')
  }
  if (schema.type === 'boolean') return 'true or false'
  if (schema.type !== 'integer') return 'text'
  return schema.maximum === undefined || (!whole && schema.maximum >= MAX_TIMER_SECONDS)
    ? `a whole number from ${schema.minimum}`
    : `a whole number from ${schema.minimum} to ${schema.maximum}`
}
