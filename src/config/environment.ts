import { readFileSync } from 'node:fs'
import { parseEnv } from 'node:util'
import { Type, type Static, type TSchema } from '@sinclair/typebox'
import { Ajv } from 'ajv'
import envSchema from 'env-schema'
import { ConfigError } from '../errors.js'
import { quoted } from '../validation/check.js'
import { MAX_TIMER_SECONDS } from '../validation/values.js'
import { auditVariables } from './variables/audit.js'
import { mcpVariables } from './variables/mcp.js'
import { oauthVariables } from './variables/oauth.js'
import { operationVariables } from './variables/operations.js'
import { policyVariables } from './variables/policy.js'
import { processVariables } from './variables/process.js'
import { serverVariables } from './variables/servers.js'

/** Every environment variable, with its meaning and its default. `.env.example` is made from it. */
export const EnvironmentSchema = Type.Object({
  ...processVariables,
  ...serverVariables,
  ...oauthVariables,
  ...policyVariables,
  ...mcpVariables,
  ...operationVariables,
  ...auditVariables
})

export type Environment = Static<typeof EnvironmentSchema>

/** The name of one of them. */
export type EnvironmentVariable = keyof typeof EnvironmentSchema.properties

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
  const data = { ...dotenv && readDotenv(), ...withoutEmpty(environment) }
  checkFinite(data)
  try {
    return envSchema<Environment>({ schema: EnvironmentSchema, data, env: false, ajv })
  } catch (error) {
    const fault = ajv.errors?.[0]
    if (fault === undefined) throw error
    const name = fault.instancePath.slice(1)
    throw new ConfigError(
      `${name} is ${quoted(fault.data)}; it takes ${accepts(name, fault.keyword === 'maximum')}.`,
      { cause: error }
    )
  }
}

/**
 * The variables of the file `.env` in this directory; none if there is no such file.
 * @throws {ConfigError} if it cannot be read
 */
export function readDotenv (): NodeJS.ProcessEnv {
  return withoutEmpty(parseDotenv())
}

function parseDotenv (): NodeJS.ProcessEnv {
  try {
    return parseEnv(readFileSync('.env', 'utf8'))
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : String(error)
    if (code === 'ENOENT') return {}
    throw new ConfigError(`The file .env cannot be read (${code}); it takes a text with lines such as PORT=5050.`, {
      cause: error
    })
  }
}

/**
 * Adds the variables of the file `.env` in this directory to these: all of them, because hosted servers have their own.
 * Those that are set already win; an empty one counts as unset.
 * @throws {ConfigError} if it cannot be read
 */
export function addDotenv (environment: NodeJS.ProcessEnv): void {
  for (const [name, value] of Object.entries(parseDotenv())) {
    if ((environment[name] ?? '') === '') environment[name] = value
  }
}

/** Our variables among these. An empty one counts as unset (compose files write them so). */
export function withoutEmpty (variables: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(
    Object.entries({ ...findLowerCase(variables), ...variables }).filter(([name, value]) =>
      Object.hasOwn(EnvironmentSchema.properties, name) && value !== ''
    )
  )
}

/** JSON Schema lets infinity pass as an integer below any maximum. */
function checkFinite (variables: NodeJS.ProcessEnv): void {
  const properties: Record<string, TSchema> = EnvironmentSchema.properties
  for (const [name, value] of Object.entries(variables)) {
    if (properties[name]?.type !== 'integer' || Math.abs(Number(value)) !== Infinity) continue
    throw new ConfigError(`${name} is ${quoted(value)}; it takes ${accepts(name, true)}.`)
  }
}

/** The two variables that most programs also read in lower case. */
function findLowerCase ({ https_proxy: proxy, no_proxy: except }: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return { ...proxy !== undefined && { HTTPS_PROXY: proxy }, ...except !== undefined && { NO_PROXY: except } }
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
