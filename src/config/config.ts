import { Type, type Static } from '@sinclair/typebox'
import {
  checked,
  split,
  parseScopes,
  parseJson,
  parseAdminToken,
  parseServices,
  checkList,
  nextPort,
  parseProxy,
  parsePublicUrl,
  parseAllowedOrigin,
  parseTrustProxy
} from './values.js'
import { toAuditOptions } from './audit.js'
import { parseServerSource, type ServerSource } from './servers/server-source.js'
import { readServersFile, type ConfiguredServer } from './servers/servers-file.js'
import { toLimits } from './limits.js'
import { parseInitialAccessTokens, parsePolicy } from './policy.js'
import { parseUpstream, type UpstreamConfig } from './upstream.js'
import { parseEnvironment, type Environment } from './environment.js'
import type { AuditOptions } from '../audit/auditor.js'
import { ConfigError } from '../errors.js'
import { isLoopbackUrl, localUrl } from '../loopback.js'
import type { SessionLimits } from '../mcp/limits.js'
import type { AuthChallenge } from '../mcp/options.js'
import { isRedirectScheme } from '../oauth/clients/redirect-schemes.js'
import type { PolicyRules } from '../policy/rules.js'
import type { ProxyOptions } from '../outbound/proxy.js'
import { isClientCredential, HOST, isHost, isKeyPrefix, KEY_PREFIX } from '../validation/values.js'
import { isRedisUrl, REDIS_URL } from '../validation/redis-url.js'

const PreregisteredClientSchema = Type.Object({
  clientId: Type.String({ minLength: 1 }),
  clientSecret: Type.Optional(Type.String({ minLength: 1 })),
  clientName: Type.Optional(Type.String()),
  jwks: Type.Optional(Type.Object({ keys: Type.Array(Type.Record(Type.String(), Type.Unknown())) })),
  jwksUri: Type.Optional(Type.String()),
  redirectUris: Type.Array(Type.String(), { minItems: 1 })
}, { additionalProperties: false })

/** A client that needs no registration. Without a secret it is a public one. */
type PreregisteredClient = Static<typeof PreregisteredClientSchema>

/** The value of DATA_DIR with which nothing is kept. */
const IN_MEMORY = 'memory'

/** The service's configuration. Durations are seconds, sizes bytes. */
export interface Config {
  production: boolean
  /** Only this machine is served: `publicUrl` is on loopback, outside production. */
  local: boolean
  port: number
  host: string
  /** Without a trailing slash. */
  publicUrl: string
  publicTools: boolean
  /** undefined: everybody whom the login server lets in may use everything. */
  policy: PolicyRules | undefined
  /** With them clients may register. */
  initialAccessTokens: string[]
  /** What is hosted. undefined: several servers, or the sample server. */
  server: ServerSource | undefined
  /** undefined: one server is hosted, at `publicUrl`. */
  servers: readonly ConfiguredServer[] | undefined
  /** Path of the policy file, if there is one. */
  policyFile: string | undefined
  logLevel: Environment['LOG_LEVEL']
  trustProxy: boolean | number | string
  /** undefined: logins are not recorded. */
  adminToken: string | undefined
  allowedOrigins: string[]
  allowedHosts: string[]
  proxy: ProxyOptions | undefined
  /** Where this process keeps its state; undefined: in memory, or in Redis. */
  dataDir: string | undefined
  /** Nothing says where to keep the state, and this is not production: the process may choose a directory. */
  mayChooseDataDir: boolean
  redisUrl: string | undefined
  redisCluster: boolean
  redisKeyPrefix: string
  encryptionKeys: string | undefined
  /** undefined: start the demo upstream on `demoUpstreamPort`. */
  upstream: UpstreamConfig | undefined
  demoUpstreamPort: number
  authMode: Environment['AUTH_MODE']
  audiences: string[]
  clientsWithoutAudience: string[]
  strictTokenType: boolean
  mcpScopes: [string, ...string[]]
  scopeDescriptions: Record<string, string>
  consentInDynamicMode: boolean
  /** Milliseconds before which consent does not count. Absent: 500, on loopback 0. */
  consentDelayMs: number | undefined
  redirectSchemes: string[]
  clientMetadataDocuments: boolean
  preregisteredClients: PreregisteredClient[]
  /** name -> secret */
  introspectionServices: Record<string, string>
  oauthRequestsPerMinute: number
  unusedClientTtlSeconds: number
  clientTtlSeconds: number
  accessTokenTtlSeconds: number
  refreshTokenTtlSeconds: number
  refreshTokenReuseSeconds: number
  grantTtlSeconds: number
  sessionMode: 'stateful' | 'stateless'
  authChallenge: AuthChallenge
  maxSessions: number
  limits: SessionLimits
  streamAfterMs: number
  streamHeartbeatSeconds: number
  streamRetryMs: number
  eventLogSeconds: number
  eventLogEventsPerStream: number
  eventLogBytesPerStream: number
  eventLogBytesPerSession: number
  eventLogBytes: number
  maxBodyBytes: number
  /** undefined: `/metrics` requires none, and exists only if `local`. */
  metricsToken: string | undefined
  tracing: boolean
  /** undefined: nothing is recorded. */
  audit: AuditOptions | undefined
  maxEventLoopDelayMs: number
  maxHeapBytes: number | undefined
  requestTimeoutSeconds: number
  keepAliveTimeoutSeconds: number
  maxHeaderBytes: number
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
  const upstream = parseUpstream(env)
  const mcpScopes = parseScopes(env.MCP_SCOPES)
  if (production) checkProduction(env, upstream)
  const publicUrl = env.PUBLIC_URL === undefined ? localUrl(env.PORT) : parsePublicUrl(env.PUBLIC_URL)
  return {
    production,
    local: !production && isLoopbackUrl(publicUrl),
    port: env.PORT,
    host: env.HOST,
    publicUrl,
    publicTools: env.PUBLIC_TOOLS,
    policy: parsePolicy(env),
    initialAccessTokens: parseInitialAccessTokens(env),
    policyFile: env.POLICY_FILE,
    server: parseServerSource(env, environment),
    servers: env.SERVERS_FILE === undefined ? undefined : readServersFile(env.SERVERS_FILE, mcpScopes, environment),
    logLevel: env.LOG_LEVEL,
    trustProxy: parseTrustProxy(env.TRUST_PROXY),
    adminToken: parseAdminToken(env.ADMIN_TOKEN),
    allowedOrigins: split(env.ALLOWED_ORIGINS, ',').map(parseAllowedOrigin),
    allowedHosts: checkList('ALLOWED_HOSTS', split(env.ALLOWED_HOSTS, ','), isHost, HOST),
    proxy: parseProxy(env.HTTPS_PROXY, env.NO_PROXY),
    ...toDataSettings(env, production),
    redisUrl: parseRedisUrl(env),
    redisCluster: env.REDIS_CLUSTER,
    redisKeyPrefix: checked('REDIS_KEY_PREFIX', env.REDIS_KEY_PREFIX, isKeyPrefix, KEY_PREFIX),
    encryptionKeys: env.ENCRYPTION_KEYS,
    upstream,
    demoUpstreamPort: env.DEMO_UPSTREAM_PORT ?? nextPort(env.PORT),
    authMode: env.AUTH_MODE,
    mcpScopes,
    ...toOAuthSettings(env),
    sessionMode: env.SESSION_MODE === 'stateless' ? 'stateless' : 'stateful',
    authChallenge: env.AUTH_CHALLENGE,
    maxSessions: env.MAX_SESSIONS,
    limits: toLimits(env),
    ...toStreamSettings(env),
    maxBodyBytes: env.MAX_BODY_BYTES,
    metricsToken: parseMetricsToken(env),
    tracing: env.TRACING,
    audit: toAuditOptions(env),
    maxEventLoopDelayMs: env.MAX_EVENT_LOOP_DELAY_MS,
    maxHeapBytes: env.MAX_HEAP_BYTES,
    requestTimeoutSeconds: env.REQUEST_TIMEOUT_SECONDS,
    keepAliveTimeoutSeconds: env.KEEP_ALIVE_TIMEOUT_SECONDS,
    maxHeaderBytes: env.MAX_HEADER_BYTES,
    shutdownDelaySeconds: env.SHUTDOWN_DELAY_SECONDS ?? (production ? 5 : 0),
    shutdownSeconds: env.SHUTDOWN_SECONDS
  }
}

function checkProduction ({ PUBLIC_URL }: Environment, upstream: UpstreamConfig | undefined): void {
  const missing = [
    ...PUBLIC_URL === undefined ? ['PUBLIC_URL'] : [],
    ...upstream === undefined
      ? ['OAUTH_ISSUER_URL (or OAUTH_PROVIDER, or OAUTH_AUTHORIZATION_URL and OAUTH_TOKEN_URL)']
      : []
  ]
  if (missing.length > 0) throw new ConfigError(`In production these must be set: ${missing.join(', ')}.`)
}

function toDataSettings ({ DATA_DIR, REDIS_URL: redisUrl }: Environment, production: boolean) {
  return {
    dataDir: DATA_DIR === IN_MEMORY ? undefined : DATA_DIR,
    mayChooseDataDir: !production && DATA_DIR === undefined && redisUrl === undefined
  }
}

/** What the authorization server takes and issues. */
function toOAuthSettings (env: Environment) {
  return {
    audiences: split(env.OAUTH_AUDIENCES, ','),
    clientsWithoutAudience: checkList(
      'OAUTH_CLIENTS_WITHOUT_AUDIENCE',
      split(env.OAUTH_CLIENTS_WITHOUT_AUDIENCE, ','),
      isClientCredential,
      'client ids, without control characters'
    ),
    strictTokenType: env.OAUTH_STRICT_TOKEN_TYPE,
    scopeDescriptions: parseJson(
      'MCP_SCOPE_DESCRIPTIONS',
      env.MCP_SCOPE_DESCRIPTIONS,
      Type.Record(Type.String(), Type.String()),
      'a JSON object of texts'
    ),
    consentInDynamicMode: env.CONSENT_IN_DYNAMIC_MODE,
    consentDelayMs: env.CONSENT_DELAY_MS,
    redirectSchemes: checkList(
      'REDIRECT_SCHEMES',
      split(env.REDIRECT_SCHEMES, ','),
      isRedirectScheme,
      'private-use URI schemes such as cursor, in lower case and without the colon'
    ),
    clientMetadataDocuments: env.CLIENT_METADATA_DOCUMENTS === 'on',
    preregisteredClients: parseJson(
      'PREREGISTERED_CLIENTS',
      env.PREREGISTERED_CLIENTS,
      Type.Array(PreregisteredClientSchema),
      'a JSON array of clients'
    ),
    introspectionServices: parseServices(env.INTROSPECTION_SERVICES),
    oauthRequestsPerMinute: env.OAUTH_REQUESTS_PER_MINUTE,
    unusedClientTtlSeconds: env.UNUSED_CLIENT_TTL_SECONDS,
    clientTtlSeconds: env.CLIENT_TTL_SECONDS,
    accessTokenTtlSeconds: env.ACCESS_TOKEN_TTL_SECONDS,
    refreshTokenTtlSeconds: env.REFRESH_TOKEN_TTL_SECONDS,
    refreshTokenReuseSeconds: env.REFRESH_TOKEN_REUSE_SECONDS,
    grantTtlSeconds: env.GRANT_TTL_SECONDS
  }
}

/** How streams are sent, and what is kept of them. */
function toStreamSettings (env: Environment) {
  return {
    streamAfterMs: env.STREAM_AFTER_MS,
    streamHeartbeatSeconds: env.STREAM_HEARTBEAT_SECONDS,
    streamRetryMs: env.STREAM_RETRY_MS,
    eventLogSeconds: env.EVENT_LOG_SECONDS,
    eventLogEventsPerStream: env.EVENT_LOG_EVENTS_PER_STREAM,
    eventLogBytesPerStream: env.EVENT_LOG_BYTES_PER_STREAM,
    eventLogBytesPerSession: env.EVENT_LOG_BYTES_PER_SESSION,
    eventLogBytes: env.EVENT_LOG_BYTES
  }
}

function parseRedisUrl (
  { REDIS_URL: url, REDIS_CLUSTER: cluster, ENCRYPTION_KEYS: keys }: Environment
): string | undefined {
  if (url !== undefined && !isRedisUrl(url)) {
    throw new ConfigError(`REDIS_URL is not valid; it takes ${REDIS_URL}.`)
  }
  if (url === undefined) {
    if (cluster) {
      throw new ConfigError('REDIS_CLUSTER is set, but REDIS_URL is not; it takes the URL of one of the nodes.')
    }
    return undefined
  }
  // a process cannot decrypt what another has encrypted with its own key
  if (keys === undefined) {
    throw new ConfigError('ENCRYPTION_KEYS is not set; replicas that share REDIS_URL need the same keys.')
  }
  if (cluster && !URL.canParse(url)) {
    throw new ConfigError('REDIS_CLUSTER is set, but REDIS_URL names Sentinels; it takes the URL of one of the nodes.')
  }
  if (cluster && /^\/[1-9]/.test(new URL(url).pathname)) {
    throw new ConfigError('REDIS_URL names a database; a Redis Cluster has only database 0.')
  }
  return url
}

// short ones can be guessed; the value is not shown
function parseMetricsToken ({ METRICS_TOKEN: token }: Environment): string | undefined {
  if (token !== undefined && !/^[\w.~+/=-]{16,}$/.test(token)) {
    throw new ConfigError('METRICS_TOKEN is not valid; it takes at least 16 letters, digits and - . _ ~ + / =')
  }
  return token
}
