import envSchema from 'env-schema'
import { Ajv } from 'ajv'
import { Type, type Static, type TSchema } from '@sinclair/typebox'
import { ConfigError } from './errors.js'

const text = (description: string, options: { default?: string, pattern?: string } = {}) => Type.String({ description, ...options })
const seconds = (description: string, fallback: number) => Type.Integer({ description: `${description}, in seconds`, default: fallback, minimum: 1 })
const limit = (description: string, fallback: number) => Type.Integer({ description, default: fallback, minimum: 1 })
const port = (description: string, options: { default?: number } = {}) => Type.Integer({ description, minimum: 0, maximum: 65535, ...options })
const oneOf = <T extends string> (description: string, fallback: T, values: T[]) =>
  Type.Union(values.map(value => Type.Literal(value)), { description, default: fallback })
const listOf = (description: string, fallback = '') => text(`${description} (comma-separated)`, { default: fallback })

/** Every environment variable, with what it means and its default. The one source of `.env.example`. */
export const EnvironmentSchema = Type.Object({
  NODE_ENV: text('production: no demo upstream, and what is missing stops the start', { default: 'development' }),
  PORT: port('Port to listen on', { default: 5050 }),
  HOST: text('Address to listen on; 0.0.0.0 in a container', { default: '127.0.0.1' }),
  PUBLIC_URL: Type.Optional(text('The origin that clients see, such as https://mcp.example.com. Default outside production: http://localhost:PORT')),
  LOG_LEVEL: oneOf('Least severe level to log', 'info', ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent']),
  TRUST_PROXY: text('Whose X-Forwarded-* to believe: true, false, a number of hops, or addresses', { default: 'false' }),
  ALLOWED_ORIGINS: listOf('Browser origins that may call the MCP endpoints, besides PUBLIC_URL; * for any'),
  ALLOWED_HOSTS: listOf('Host headers that the MCP endpoints answer to, besides that of PUBLIC_URL; * for any'),
  ENCRYPTION_KEYS: Type.Optional(text('Keys that seal upstream tokens at rest, as id:base64url of 32 bytes; the first encrypts, all decrypt (comma-separated). Default: a key of this process')),
  DEMO_UPSTREAM_PORT: Type.Optional(port('Port of the demo upstream, which starts outside production when no upstream is named. Default: PORT + 1')),

  OAUTH_ISSUER_URL: Type.Optional(text('Issuer of the upstream authorization server, discovered by RFC 8414 or OpenID Connect')),
  OAUTH_AUTHORIZATION_URL: Type.Optional(text('Authorization endpoint of an upstream without discovery')),
  OAUTH_TOKEN_URL: Type.Optional(text('Token endpoint of an upstream without discovery')),
  OAUTH_REGISTRATION_URL: Type.Optional(text('Registration endpoint (RFC 7591) of an upstream without discovery')),
  OAUTH_REVOCATION_URL: Type.Optional(text('Revocation endpoint (RFC 7009) of an upstream without discovery')),
  OAUTH_CLIENT_ID: Type.Optional(text('Client registered at the upstream (static mode). Default: each client is registered there (dynamic mode)')),
  OAUTH_CLIENT_SECRET: Type.Optional(text('Secret of OAUTH_CLIENT_ID')),
  OAUTH_SCOPES: text('Scopes asked of the upstream (space-separated), less those its metadata lacks', { default: 'openid profile email offline_access' }),
  OAUTH_EXTRA_AUTHORIZE_PARAMS: text('More parameters for the upstream\'s authorization endpoint, as a query string: audience=https://api.example.com', { default: '' }),

  MCP_SCOPES: text('Our own scopes (space-separated); the first is granted when a client names none', { default: 'mcp' }),
  ACCESS_TOKEN_TTL_SECONDS: seconds('Lifetime of our access tokens', 3600),
  REFRESH_TOKEN_TTL_SECONDS: seconds('Lifetime of a refresh token that is not used', 30 * 86_400),
  GRANT_TTL_SECONDS: seconds('Lifetime of a login, however often it is refreshed', 180 * 86_400),
  SESSION_IDLE_SECONDS: seconds('Life of an MCP session without a request', 3600),
  MAX_BODY_BYTES: limit('Largest request body', 4_194_304),
  SHUTDOWN_SECONDS: seconds('Time that requests in flight get to finish on SIGTERM', 10)
})

type Environment = Static<typeof EnvironmentSchema>

/** What upstream authorization server to broker to. */
export interface UpstreamConfig {
  issuerUrl?: URL
  authorizationUrl?: URL
  tokenUrl?: URL
  registrationUrl?: URL
  revocationUrl?: URL
  clientId?: string
  clientSecret?: string
  scopes: string[]
  extraAuthorizeParams: Record<string, string>
}

/** The service's configuration. Durations are seconds, sizes bytes. */
export interface Config {
  production: boolean
  port: number
  host: string
  /** Origin without a trailing slash. */
  publicUrl: string
  logLevel: Environment['LOG_LEVEL']
  trustProxy: boolean | number | string
  allowedOrigins: string[]
  allowedHosts: string[]
  encryptionKeys: string | undefined
  /** undefined: start the demo upstream on `demoUpstreamPort`. */
  upstream: UpstreamConfig | undefined
  demoUpstreamPort: number
  mcpScopes: [string, ...string[]]
  accessTokenTtlSeconds: number
  refreshTokenTtlSeconds: number
  grantTtlSeconds: number
  sessionIdleSeconds: number
  maxBodyBytes: number
  shutdownSeconds: number
}

/**
 * Reads the configuration from environment variables and `.env`.
 * @throws {ConfigError} with one line that names the variable, what it got and what it takes
 */
export function loadConfig (environment: NodeJS.ProcessEnv = process.env, { dotenv = true } = {}): Config {
  const env = parse(environment, dotenv)
  const production = env.NODE_ENV === 'production'
  const upstream = upstreamOf(env)

  const missing = [
    ...env.PUBLIC_URL === undefined ? ['PUBLIC_URL'] : [],
    ...upstream === undefined ? ['OAUTH_ISSUER_URL (or OAUTH_AUTHORIZATION_URL and OAUTH_TOKEN_URL)'] : []
  ]
  if (production && missing.length > 0) throw new ConfigError(`In production these must be set: ${missing.join(', ')}.`)

  return {
    production,
    port: env.PORT,
    host: env.HOST,
    publicUrl: env.PUBLIC_URL === undefined ? `http://localhost:${env.PORT}` : originOf('PUBLIC_URL', env.PUBLIC_URL),
    logLevel: env.LOG_LEVEL,
    trustProxy: trustProxyOf(env.TRUST_PROXY),
    allowedOrigins: split(env.ALLOWED_ORIGINS, ',').map(origin => origin === '*' ? origin : originOf('ALLOWED_ORIGINS', origin)),
    allowedHosts: split(env.ALLOWED_HOSTS, ','),
    encryptionKeys: env.ENCRYPTION_KEYS,
    upstream,
    demoUpstreamPort: env.DEMO_UPSTREAM_PORT ?? env.PORT + 1,
    mcpScopes: scopesOf(env.MCP_SCOPES),
    accessTokenTtlSeconds: env.ACCESS_TOKEN_TTL_SECONDS,
    refreshTokenTtlSeconds: env.REFRESH_TOKEN_TTL_SECONDS,
    grantTtlSeconds: env.GRANT_TTL_SECONDS,
    sessionIdleSeconds: env.SESSION_IDLE_SECONDS,
    maxBodyBytes: env.MAX_BODY_BYTES,
    shutdownSeconds: env.SHUTDOWN_SECONDS
  }
}

function parse (environment: NodeJS.ProcessEnv, dotenv: boolean): Environment {
  // an empty variable is one that is not set (compose files write them so)
  const data = Object.fromEntries(Object.entries(environment).filter(([name, value]) => name in EnvironmentSchema.properties && value !== ''))
  const ajv = new Ajv({ verbose: true, coerceTypes: true, useDefaults: true, removeAdditional: true, allowUnionTypes: true, keywords: ['kind'] })
  try {
    return envSchema<Environment>({ schema: EnvironmentSchema, data, env: false, dotenv, ajv })
  } catch (error) {
    const fault = ajv.errors?.[0]
    if (fault === undefined) throw error
    const name = fault.instancePath.slice(1)
    throw new ConfigError(`${name} is ${JSON.stringify(fault.data)}; it takes ${accepts(name)}.`, { cause: error })
  }
}

/** What a variable takes, in words. */
function accepts (name: string): string {
  const properties: Record<string, TSchema> = EnvironmentSchema.properties
  const schema = properties[name]
  if (schema === undefined) return 'another value'
  if (Array.isArray(schema.anyOf)) return schema.anyOf.map((member: { const?: unknown }) => String(member.const)).join(', ')
  if (schema.type !== 'integer') return 'text'
  return schema.maximum === undefined ? `a whole number from ${schema.minimum}` : `a whole number from ${schema.minimum} to ${schema.maximum}`
}

function upstreamOf (env: Environment): UpstreamConfig | undefined {
  const issuerUrl = urlOf('OAUTH_ISSUER_URL', env.OAUTH_ISSUER_URL)
  const authorizationUrl = urlOf('OAUTH_AUTHORIZATION_URL', env.OAUTH_AUTHORIZATION_URL)
  const tokenUrl = urlOf('OAUTH_TOKEN_URL', env.OAUTH_TOKEN_URL)
  const registrationUrl = urlOf('OAUTH_REGISTRATION_URL', env.OAUTH_REGISTRATION_URL)
  const revocationUrl = urlOf('OAUTH_REVOCATION_URL', env.OAUTH_REVOCATION_URL)

  if ((authorizationUrl === undefined) !== (tokenUrl === undefined)) {
    throw new ConfigError(`${authorizationUrl === undefined ? 'OAUTH_AUTHORIZATION_URL' : 'OAUTH_TOKEN_URL'} is not set; the two endpoint URLs go together.`)
  }
  if (env.OAUTH_CLIENT_SECRET !== undefined && env.OAUTH_CLIENT_ID === undefined) {
    throw new ConfigError('OAUTH_CLIENT_ID is not set, but OAUTH_CLIENT_SECRET is; the secret needs its client id.')
  }
  if (issuerUrl === undefined && authorizationUrl === undefined) {
    if (env.OAUTH_CLIENT_ID !== undefined) {
      throw new ConfigError('OAUTH_CLIENT_ID is set, but no upstream is; set OAUTH_ISSUER_URL (or OAUTH_AUTHORIZATION_URL and OAUTH_TOKEN_URL) too.')
    }
    return undefined
  }
  if (issuerUrl === undefined && registrationUrl === undefined && env.OAUTH_CLIENT_ID === undefined) {
    throw new ConfigError('OAUTH_CLIENT_ID is not set; an upstream without discovery needs it, or OAUTH_REGISTRATION_URL.')
  }
  return {
    ...issuerUrl && { issuerUrl },
    ...authorizationUrl && { authorizationUrl },
    ...tokenUrl && { tokenUrl },
    ...registrationUrl && { registrationUrl },
    ...revocationUrl && { revocationUrl },
    ...env.OAUTH_CLIENT_ID !== undefined && { clientId: env.OAUTH_CLIENT_ID },
    ...env.OAUTH_CLIENT_SECRET !== undefined && { clientSecret: env.OAUTH_CLIENT_SECRET },
    scopes: split(env.OAUTH_SCOPES, ' '),
    extraAuthorizeParams: Object.fromEntries(new URLSearchParams(env.OAUTH_EXTRA_AUTHORIZE_PARAMS))
  }
}

function split (value: string, separator: string): string[] {
  return value.split(separator).map(item => item.trim()).filter(item => item !== '')
}

function scopesOf (value: string): [string, ...string[]] {
  const [first, ...rest] = split(value, ' ')
  // RFC 6749 3.3 scope-token
  const isScope = (scope: string) => /^[\x21\x23-\x5B\x5D-\x7E]+$/.test(scope)
  if (first === undefined || ![first, ...rest].every(isScope)) {
    throw new ConfigError(`MCP_SCOPES is ${JSON.stringify(value)}; it takes one or more scopes, separated by spaces.`)
  }
  return [first, ...rest]
}

function isLoopback (url: URL): boolean {
  return url.hostname === 'localhost' || url.hostname === '[::1]' || /^127\.\d+\.\d+\.\d+$/.test(url.hostname)
}

function urlOf (name: string, value: string | undefined): URL | undefined {
  if (value === undefined) return undefined
  const url = URL.canParse(value) ? new URL(value) : undefined
  if (url === undefined || !(url.protocol === 'https:' || (url.protocol === 'http:' && isLoopback(url))) || url.hash !== '' || url.username !== '') {
    throw new ConfigError(`${name} is ${JSON.stringify(value)}; it takes an https URL (http only on loopback).`)
  }
  return url
}

function originOf (name: string, value: string): string {
  const url = URL.canParse(value) ? new URL(value) : undefined
  if (url === undefined || !/^https?:$/.test(url.protocol) || url.pathname !== '/' || url.search !== '' || url.hash !== '' || url.username !== '') {
    throw new ConfigError(`${name} is ${JSON.stringify(value)}; it takes an origin such as https://mcp.example.com, without a path.`)
  }
  return url.origin
}

function trustProxyOf (value: string): boolean | number | string {
  if (value === 'true' || value === 'false') return value === 'true'
  return /^\d+$/.test(value) ? Number(value) : value
}
