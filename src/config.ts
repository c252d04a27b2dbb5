import { Type, type Static, type TSchema } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { parseEnvironment, type Environment } from './environment.js'
import { ConfigError } from './errors.js'

const PreregisteredClientSchema = Type.Object({
  clientId: Type.String({ minLength: 1 }),
  clientSecret: Type.Optional(Type.String({ minLength: 1 })),
  clientName: Type.Optional(Type.String()),
  redirectUris: Type.Array(Type.String(), { minItems: 1 })
}, { additionalProperties: false })

/** A client that needs no registration. Without a secret it is a public one. */
export type PreregisteredClient = Static<typeof PreregisteredClientSchema>

/** What upstream authorization server to broker to. */
export interface UpstreamConfig {
  issuerUrl?: URL
  /** The same, exactly as it was configured: tokens name it so. */
  issuer?: string
  authorizationUrl?: URL
  tokenUrl?: URL
  registrationUrl?: URL
  revocationUrl?: URL
  userinfoUrl?: URL
  subjectClaim?: string
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
  publicTools: boolean
  logLevel: Environment['LOG_LEVEL']
  trustProxy: boolean | number | string
  /** undefined: nobody may see how logins went. */
  adminToken: string | undefined
  allowedOrigins: string[]
  allowedHosts: string[]
  redisUrl: string | undefined
  redisCluster: boolean
  redisKeyPrefix: string
  encryptionKeys: string | undefined
  /** undefined: start the demo upstream on `demoUpstreamPort`. */
  upstream: UpstreamConfig | undefined
  demoUpstreamPort: number
  authMode: Environment['AUTH_MODE']
  audiences: string[]
  mcpScopes: [string, ...string[]]
  scopeDescriptions: Record<string, string>
  consentInDynamicMode: boolean
  redirectSchemes: string[]
  preregisteredClients: PreregisteredClient[]
  /** name -> secret */
  introspectionServices: Record<string, string>
  oauthRequestsPerMinute: number
  unusedClientTtlSeconds: number
  accessTokenTtlSeconds: number
  refreshTokenTtlSeconds: number
  grantTtlSeconds: number
  sessionMode: 'stateful' | 'stateless'
  sessionIdleSeconds: number
  sessionLifetimeSeconds: number
  sessionsPerOwner: number
  maxSessions: number
  instanceIdleSeconds: number
  maxLiveInstances: number
  maxRequestsInFlight: number
  maxSubscriptions: number
  maxStreams: number
  streamAfterMs: number
  streamHeartbeatSeconds: number
  streamRetryMs: number
  eventLogSeconds: number
  eventLogEventsPerStream: number
  eventLogBytesPerStream: number
  eventLogBytesPerSession: number
  eventLogBytes: number
  maxBodyBytes: number
  /** undefined: `/metrics` asks for none, and is not there in production. */
  metricsToken: string | undefined
  tracing: boolean
  maxEventLoopDelayMs: number
  maxHeapBytes: number | undefined
  shutdownDelaySeconds: number
  shutdownSeconds: number
}

/**
 * Reads the configuration from environment variables and `.env`.
 * @throws {ConfigError} with one line that names the variable, what it got and what it takes
 */
export function loadConfig (environment: NodeJS.ProcessEnv = process.env, { dotenv = true } = {}): Config {
  const env = parseEnvironment(environment, dotenv)
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
    publicTools: env.PUBLIC_TOOLS,
    logLevel: env.LOG_LEVEL,
    trustProxy: trustProxyOf(env.TRUST_PROXY),
    adminToken: adminTokenOf(env.ADMIN_TOKEN),
    allowedOrigins: split(env.ALLOWED_ORIGINS, ',').map(origin => origin === '*' ? origin : originOf('ALLOWED_ORIGINS', origin)),
    allowedHosts: split(env.ALLOWED_HOSTS, ','),
    redisUrl: redisUrlOf(env),
    redisCluster: env.REDIS_CLUSTER,
    redisKeyPrefix: env.REDIS_KEY_PREFIX,
    encryptionKeys: env.ENCRYPTION_KEYS,
    upstream,
    demoUpstreamPort: env.DEMO_UPSTREAM_PORT ?? env.PORT + 1,
    authMode: env.AUTH_MODE,
    audiences: split(env.OAUTH_AUDIENCES, ','),
    mcpScopes: scopesOf(env.MCP_SCOPES),
    scopeDescriptions: jsonOf('MCP_SCOPE_DESCRIPTIONS', env.MCP_SCOPE_DESCRIPTIONS, Type.Record(Type.String(), Type.String()), 'a JSON object of texts'),
    consentInDynamicMode: env.CONSENT_IN_DYNAMIC_MODE,
    redirectSchemes: split(env.REDIRECT_SCHEMES, ','),
    preregisteredClients: jsonOf('PREREGISTERED_CLIENTS', env.PREREGISTERED_CLIENTS, Type.Array(PreregisteredClientSchema), 'a JSON array of clients'),
    introspectionServices: servicesOf(env.INTROSPECTION_SERVICES),
    oauthRequestsPerMinute: env.OAUTH_REQUESTS_PER_MINUTE,
    unusedClientTtlSeconds: env.UNUSED_CLIENT_TTL_SECONDS,
    accessTokenTtlSeconds: env.ACCESS_TOKEN_TTL_SECONDS,
    refreshTokenTtlSeconds: env.REFRESH_TOKEN_TTL_SECONDS,
    grantTtlSeconds: env.GRANT_TTL_SECONDS,
    sessionMode: env.SESSION_MODE === 'stateless' ? 'stateless' : 'stateful',
    sessionIdleSeconds: env.SESSION_IDLE_SECONDS,
    sessionLifetimeSeconds: env.SESSION_LIFETIME_SECONDS,
    sessionsPerOwner: env.SESSIONS_PER_OWNER,
    maxSessions: env.MAX_SESSIONS,
    instanceIdleSeconds: env.INSTANCE_IDLE_SECONDS,
    maxLiveInstances: env.MAX_LIVE_INSTANCES,
    maxRequestsInFlight: env.MAX_REQUESTS_IN_FLIGHT,
    maxSubscriptions: env.MAX_SUBSCRIPTIONS,
    maxStreams: env.MAX_STREAMS,
    streamAfterMs: env.STREAM_AFTER_MS,
    streamHeartbeatSeconds: env.STREAM_HEARTBEAT_SECONDS,
    streamRetryMs: env.STREAM_RETRY_MS,
    eventLogSeconds: env.EVENT_LOG_SECONDS,
    eventLogEventsPerStream: env.EVENT_LOG_EVENTS_PER_STREAM,
    eventLogBytesPerStream: env.EVENT_LOG_BYTES_PER_STREAM,
    eventLogBytesPerSession: env.EVENT_LOG_BYTES_PER_SESSION,
    eventLogBytes: env.EVENT_LOG_BYTES,
    maxBodyBytes: env.MAX_BODY_BYTES,
    metricsToken: metricsTokenOf(env),
    tracing: env.TRACING,
    maxEventLoopDelayMs: env.MAX_EVENT_LOOP_DELAY_MS,
    maxHeapBytes: env.MAX_HEAP_BYTES,
    shutdownDelaySeconds: env.SHUTDOWN_DELAY_SECONDS ?? (production ? 5 : 0),
    shutdownSeconds: env.SHUTDOWN_SECONDS
  }
}

function upstreamOf (env: Environment): UpstreamConfig | undefined {
  const issuerUrl = urlOf('OAUTH_ISSUER_URL', env.OAUTH_ISSUER_URL)
  const authorizationUrl = urlOf('OAUTH_AUTHORIZATION_URL', env.OAUTH_AUTHORIZATION_URL)
  const tokenUrl = urlOf('OAUTH_TOKEN_URL', env.OAUTH_TOKEN_URL)
  const registrationUrl = urlOf('OAUTH_REGISTRATION_URL', env.OAUTH_REGISTRATION_URL)
  const revocationUrl = urlOf('OAUTH_REVOCATION_URL', env.OAUTH_REVOCATION_URL)
  const userinfoUrl = urlOf('OAUTH_USERINFO_URL', env.OAUTH_USERINFO_URL)

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
    ...env.OAUTH_ISSUER_URL !== undefined && { issuer: env.OAUTH_ISSUER_URL },
    ...authorizationUrl && { authorizationUrl },
    ...tokenUrl && { tokenUrl },
    ...registrationUrl && { registrationUrl },
    ...revocationUrl && { revocationUrl },
    ...userinfoUrl && { userinfoUrl },
    subjectClaim: env.OAUTH_SUBJECT_CLAIM,
    ...env.OAUTH_CLIENT_ID !== undefined && { clientId: env.OAUTH_CLIENT_ID },
    ...env.OAUTH_CLIENT_SECRET !== undefined && { clientSecret: env.OAUTH_CLIENT_SECRET },
    scopes: split(env.OAUTH_SCOPES, ' '),
    extraAuthorizeParams: Object.fromEntries(new URLSearchParams(env.OAUTH_EXTRA_AUTHORIZE_PARAMS))
  }
}

function redisUrlOf ({ REDIS_URL: url, REDIS_CLUSTER: cluster, ENCRYPTION_KEYS: keys }: Environment): string | undefined {
  if (url === undefined) {
    if (cluster) throw new ConfigError('REDIS_URL is not set, but REDIS_CLUSTER is; it takes the URL of one of the nodes.')
    return undefined
  }
  // a key of one process opens nothing that another has sealed
  if (keys === undefined) throw new ConfigError('ENCRYPTION_KEYS is not set; replicas that share REDIS_URL need the same keys.')
  if (cluster && URL.canParse(url) && /^\/[1-9]/.test(new URL(url).pathname)) throw new ConfigError('REDIS_URL names a database; a Redis Cluster has only database 0.')
  return url
}

// short ones are guessed; its value is not shown
function metricsTokenOf ({ METRICS_TOKEN: token }: Environment): string | undefined {
  if (token !== undefined && !/^[\w.~+/=-]{16,}$/.test(token)) throw new ConfigError('METRICS_TOKEN is not valid; it takes at least 16 letters, digits and - . _ ~ + / =')
  return token
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

// its value is not shown: it may hold secrets
function jsonOf<T extends TSchema> (name: string, value: string, schema: T, accepts: string): Static<T> {
  let parsed: unknown
  try {
    parsed = JSON.parse(value)
  } catch {}
  if (!Value.Check(schema, parsed)) throw new ConfigError(`${name} is not valid; it takes ${accepts}.`)
  return parsed
}

function adminTokenOf (value: string | undefined): string | undefined {
  if (value !== undefined && !/^[\x21-\x7e]{16,}$/.test(value)) throw new ConfigError('ADMIN_TOKEN is not valid; it takes at least 16 characters, without spaces.')
  return value
}

function servicesOf (value: string): Record<string, string> {
  const services = split(value, ',').map(service => /^([^:]+):(.{16,})$/.exec(service))
  return Object.fromEntries(services.map(match => {
    if (match === null) throw new ConfigError('INTROSPECTION_SERVICES is not valid; it takes name:secret, with secrets of at least 16 characters.')
    return [match[1], match[2]]
  }))
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
