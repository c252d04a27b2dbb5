import { Type, type Static, type TSchema } from '@sinclair/typebox'
import { Ajv } from 'ajv'
import envSchema from 'env-schema'
import { ConfigError } from '../errors.js'
import { defaultLimits } from '../mcp/limits.js'
import { defaultRedirectSchemes } from '../oauth/clients/redirect-schemes.js'
import { MAX_LIFETIME_SECONDS, MAX_TIMER_MS, MAX_TIMER_SECONDS } from '../validation/values.js'

// what is to be left behind is not waited for
const MAX_SHUTDOWN_SECONDS = 86_400

const text = (description: string, options: { default?: string, pattern?: string } = {}) =>
  Type.String({ description, ...options })
const limit = (description: string, fallback: number, options: { maximum?: number } = {}) =>
  Type.Integer({ description, default: fallback, minimum: 1, maximum: Number.MAX_SAFE_INTEGER, ...options })
const seconds = (description: string, fallback: number, options: { maximum?: number } = {}) =>
  limit(`${description}, in seconds`, fallback, { maximum: MAX_LIFETIME_SECONDS, ...options })
const port = (description: string, options: { default?: number } = {}) =>
  Type.Integer({ description, minimum: 0, maximum: 65535, ...options })
const choice = <T extends string>(description: string, fallback: T, values: T[]) =>
  Type.Union(values.map(value => Type.Literal(value)), { description, default: fallback })
const list = (description: string, fallback = '') => text(`${description} (comma-separated)`, { default: fallback })

/** Every environment variable, with what it means and its default. The one source of `.env.example`. */
export const EnvironmentSchema = Type.Object({
  NODE_ENV: text('production: no demo upstream, and what is missing stops the start', { default: 'development' }),
  PORT: port('Port to listen on', { default: 5050 }),
  HOST: text('Address to listen on; 0.0.0.0 in a container', { default: '127.0.0.1' }),
  PUBLIC_URL: Type.Optional(
    text(
      'The origin that clients see, such as https://mcp.example.com. Default outside production: http://localhost:PORT'
    )
  ),
  PUBLIC_TOOLS: Type.Boolean({
    description: 'Whether the page at / names the tools of the server, to anybody',
    default: false
  }),
  LOG_LEVEL: choice('Least severe level to log', 'info', [
    'fatal',
    'error',
    'warn',
    'info',
    'debug',
    'trace',
    'silent'
  ]),
  TRUST_PROXY: text('Whose X-Forwarded-* to believe: true, false, a number of hops, or addresses', {
    default: 'false'
  }),
  ADMIN_TOKEN: Type.Optional(
    text(
      'Shows operators how the last logins went, at /admin/attempts and by the command fastify-mcp-oauth attempts; at least 16 characters. Default: nothing is written down, and there is no such page'
    )
  ),
  ALLOWED_ORIGINS: list('Browser origins that may call the MCP endpoints, besides PUBLIC_URL; * for any'),
  ALLOWED_HOSTS: list('Host headers that the MCP endpoints answer to, besides that of PUBLIC_URL; * for any'),
  REDIS_URL: Type.Optional(
    text(
      'Redis that all replicas share: redis://user:password@host:port/db, or rediss:// for TLS. Default: this process keeps everything in memory'
    )
  ),
  REDIS_CLUSTER: Type.Boolean({
    description: 'Whether REDIS_URL leads to a Redis Cluster: to one of its nodes, or to its configuration endpoint',
    default: false
  }),
  REDIS_KEY_PREFIX: text('Begins every key and channel in Redis', { default: 'mcp' }),
  ENCRYPTION_KEYS: Type.Optional(
    text(
      'Keys that replicas share; they seal upstream tokens at rest and what clients bring back (requestState). As id:base64url of 32 bytes; the first encrypts, all decrypt (comma-separated). Default: a key of this process'
    )
  ),
  DEMO_UPSTREAM_PORT: Type.Optional(
    port('Port of the demo upstream, which starts outside production when no upstream is named. Default: PORT + 1')
  ),

  OAUTH_ISSUER_URL: Type.Optional(
    text('Issuer of the upstream authorization server, discovered by RFC 8414 or OpenID Connect')
  ),
  OAUTH_AUTHORIZATION_URL: Type.Optional(text('Authorization endpoint of an upstream without discovery')),
  OAUTH_TOKEN_URL: Type.Optional(text('Token endpoint of an upstream without discovery')),
  OAUTH_REGISTRATION_URL: Type.Optional(text('Registration endpoint (RFC 7591) of an upstream without discovery')),
  OAUTH_REVOCATION_URL: Type.Optional(text('Revocation endpoint (RFC 7009) of an upstream without discovery')),
  OAUTH_USERINFO_URL: Type.Optional(
    text(
      'Tells who a person is, as JSON, for their upstream access token; for an upstream that gives no ID token and has no OpenID userinfo endpoint'
    )
  ),
  OAUTH_SUBJECT_CLAIM: text('Claim of the ID token or userinfo that names a person, and never changes', {
    default: 'sub'
  }),
  OAUTH_CLIENT_ID: Type.Optional(
    text('Client registered at the upstream (static mode). Default: each client is registered there (dynamic mode)')
  ),
  OAUTH_CLIENT_SECRET: Type.Optional(text('Secret of OAUTH_CLIENT_ID')),
  OAUTH_SCOPES: text('Scopes asked of the upstream (space-separated), less those of the default that its metadata lacks', { default: 'openid profile email offline_access' }),
  OAUTH_EXTRA_AUTHORIZE_PARAMS: text('More parameters for the upstream\'s authorization endpoint, as a query string: audience=https://api.example.com', { default: '' }),

  AUTH_MODE: choice(
    'broker: clients log in with us, people upstream; resource-server: clients bring tokens of OAUTH_ISSUER_URL, which are only verified',
    'broker',
    ['broker', 'resource-server']
  ),
  OAUTH_AUDIENCES: list(
    'What the aud of tokens may name in the mode resource-server, besides the URLs of the MCP endpoints'
  ),
  OAUTH_STRICT_TOKEN_TYPE: Type.Boolean({
    description:
      'Whether the mode resource-server takes only JWTs that say they are access tokens of RFC 9068 (typ: at+jwt)',
    default: false
  }),

  MCP_SCOPES: text(
    'Our own scopes (space-separated); the first is granted when a client names none, and every token must have it',
    { default: 'mcp' }
  ),
  MCP_SCOPE_DESCRIPTIONS: text('What the scopes mean, for the consent page, as JSON: {"mcp":"Use its tools"}', {
    default: '{}'
  }),
  CONSENT_IN_DYNAMIC_MODE: Type.Boolean({
    description: 'Whether people are asked for consent where each client is registered upstream, too',
    default: true
  }),
  CONSENT_DELAY_MS: Type.Optional(
    Type.Integer({
      description:
        'Milliseconds before which "Allow access" on the consent page does not count, as nobody has read it by then. Default: 500, and 0 if PUBLIC_URL is loopback',
      minimum: 0,
      maximum: 10_000
    })
  ),
  REDIRECT_SCHEMES: list('Private-use URI schemes that redirect URIs may have', defaultRedirectSchemes.join(',')),
  PREREGISTERED_CLIENTS: text(
    'Clients that need no registration, as JSON: [{"clientId":"…","clientSecret":"…","clientName":"…","redirectUris":["…"]}]; the secret is for confidential ones',
    { default: '[]' }
  ),
  INTROSPECTION_SERVICES: list('Services of yours that may ask /introspect, as name:secret'),
  OAUTH_REQUESTS_PER_MINUTE: limit(
    'Requests of one OAuth endpoint in a minute: of an address that prove nothing, and of a person; a client that has shown its secret may make ten times as many',
    300
  ),
  UNUSED_CLIENT_TTL_SECONDS: seconds('Life of a registration that leads to no login', 3600),
  CLIENT_TTL_SECONDS: seconds(
    'Life of a registration after its client was given tokens last (never shorter than REFRESH_TOKEN_TTL_SECONDS and a week)',
    90 * 86_400
  ),
  ACCESS_TOKEN_TTL_SECONDS: seconds('Lifetime of our access tokens', 3600),
  REFRESH_TOKEN_TTL_SECONDS: seconds('Lifetime of a refresh token that is not used', 30 * 86_400),
  GRANT_TTL_SECONDS: seconds('Lifetime of a login, however often it is refreshed', 180 * 86_400),
  SESSION_MODE: choice(
    'stateful: sessions; stateless: every request on its own, no streams to resume, no requests to the client, no HTTP+SSE',
    'stateful',
    ['stateful', 'stateless']
  ),
  SESSION_IDLE_SECONDS: seconds('Life of an MCP session without a request', 3600),
  SESSION_LIFETIME_SECONDS: seconds('Life of an MCP session, however much it is used', defaultLimits.lifetimeSeconds),
  SESSIONS_PER_OWNER: limit(
    'MCP sessions of one person and client; one more ends the least recently used of them',
    defaultLimits.maxSessionsPerOwner
  ),
  SESSIONS_PER_PERSON: limit('The same, of one person: by all clients', defaultLimits.maxSessionsPerPerson),
  MAX_SESSIONS: limit(
    'MCP sessions kept at all (memory); beyond, the person with the most gives way to who has less, else new ones are refused',
    100_000
  ),
  INSTANCE_IDLE_SECONDS: seconds(
    'Time after which the server instance of an unused session is dropped, to be rebuilt at its next request',
    30,
    { maximum: MAX_TIMER_SECONDS }
  ),
  MAX_LIVE_INSTANCES: limit(
    'Server instances held at once, in every era; one more drops one without work of the person with the most, or is refused while all are at work',
    defaultLimits.maxLiveInstances
  ),
  INSTANCES_PER_PERSON: limit('The same, of one person', defaultLimits.maxInstancesPerPerson),
  MAX_REQUESTS_IN_FLIGHT: limit('Requests that run at once', defaultLimits.maxRequestsInFlight),
  REQUESTS_IN_FLIGHT_PER_PERSON: limit(
    'The same, of one person: in all sessions, eras and clients',
    defaultLimits.maxRequestsInFlightPerPerson
  ),
  RATE_LIMIT_TOOL_CALLS_PER_MINUTE: Type.Integer({
    minimum: 0,
    default: defaultLimits.toolCallsPerMinute,
    description: 'Calls of one tool by one person in a minute, in each process; 0: no limit'
  }),
  MAX_STREAMS: limit('Streams that clients hold open to listen, at once', defaultLimits.maxStreams),
  STREAMS_PER_PERSON: limit('The same, of one person', defaultLimits.maxStreamsPerPerson),
  MAX_SUBSCRIPTIONS: limit(
    'Resource subscriptions of sessions and streams that are in use',
    defaultLimits.maxSubscriptions
  ),
  SUBSCRIPTIONS_PER_PERSON: limit('The same, of one person', defaultLimits.maxSubscriptionsPerPerson),
  MAX_SUBSCRIPTION_BYTES: limit('Bytes of the URIs of these subscriptions', defaultLimits.maxSubscriptionBytes),
  SUBSCRIPTION_BYTES_PER_PERSON: limit('The same, of one person', defaultLimits.maxSubscriptionBytesPerPerson),
  MAX_URI_BYTES: limit('Bytes of one URI that is subscribed to', defaultLimits.maxUriBytes),
  MAX_SUSPENDED_CALLS: limit(
    'Calls of servers of SDK 1.x that wait for clients of 2026-07-28 to bring input, at once; one more gives up the oldest of the person with the most',
    defaultLimits.maxSuspendedCalls
  ),
  SUSPENDED_CALLS_PER_PERSON: limit(
    'The same, of one person; one more gives up their oldest',
    defaultLimits.maxSuspendedCallsPerPerson
  ),
  MAX_OPEN_RESPONSES: limit(
    'Requests to MCP endpoints whose response is not over, at once',
    defaultLimits.maxOpenResponses
  ),
  OPEN_RESPONSES_PER_PERSON: limit('The same, of one person', defaultLimits.maxOpenResponsesPerPerson),
  MAX_REQUEST_BYTES: limit('Bytes of the bodies of these requests', defaultLimits.maxRequestBytes),
  REQUEST_BYTES_PER_PERSON: limit('The same, of one person', defaultLimits.maxRequestBytesPerPerson),
  MAX_UNREAD_BYTES: limit(
    'Bytes that wait for clients to read them; beyond, the responses with the most are cut',
    defaultLimits.maxUnreadBytes
  ),
  UNREAD_BYTES_PER_PERSON: limit('The same, of one person', defaultLimits.maxUnreadBytesPerPerson),
  STREAM_AFTER_MS: limit('Silence after which a pending answer becomes a stream, in milliseconds', 3000, {
    maximum: 3_600_000
  }),
  STREAM_HEARTBEAT_SECONDS: seconds('Interval of the comments that keep proxies from cutting idle streams', 15, {
    maximum: 3600
  }),
  STREAM_RETRY_MS: limit('Time that clients are told to wait before they resume a stream, in milliseconds', 1000, {
    maximum: MAX_TIMER_MS
  }),
  EVENT_LOG_SECONDS: seconds('Time that events are kept for clients that resume', 300),
  EVENT_LOG_EVENTS_PER_STREAM: limit('Events kept of one stream', 256),
  EVENT_LOG_BYTES_PER_STREAM: limit('Bytes kept of one stream, besides its newest event', 1_048_576),
  EVENT_LOG_BYTES_PER_SESSION: limit('Bytes kept of one session; beyond, its oldest answers go first', 8_388_608),
  EVENT_LOG_BYTES: limit('Bytes kept of all sessions; beyond, the oldest answers go first', 268_435_456),
  METRICS_TOKEN: Type.Optional(
    text(
      'Bearer token, of at least 16 characters, that GET /metrics asks for. Default: none is asked for if PUBLIC_URL is on loopback outside production; else there is no /metrics'
    )
  ),
  TRACING: Type.Boolean({
    description: 'Whether requests and calls are traced by OpenTelemetry; its SDK is loaded by NODE_OPTIONS=--import',
    default: false
  }),
  MAX_EVENT_LOOP_DELAY_MS: Type.Integer({
    minimum: 0,
    maximum: MAX_TIMER_MS,
    default: 1000,
    description:
      'Mean delay of the event loop over a second, in milliseconds, beyond which requests are refused; 0: none is'
  }),
  MAX_HEAP_BYTES: Type.Optional(
    Type.Integer({
      minimum: 1,
      maximum: Number.MAX_SAFE_INTEGER,
      description:
        'Size of the JavaScript heap beyond which requests are refused. Default: nine tenths of what Node.js may use'
    })
  ),
  MAX_BODY_BYTES: limit('Largest request body', 4_194_304),
  REQUEST_TIMEOUT_SECONDS: seconds(
    'Time in which the headers and the body of a request must have arrived; beyond, it is answered 408 and the connection closes. How long a response takes does not matter',
    30,
    { maximum: MAX_TIMER_SECONDS }
  ),
  SHUTDOWN_DELAY_SECONDS: Type.Optional(
    Type.Integer({
      minimum: 0,
      maximum: MAX_SHUTDOWN_SECONDS,
      description:
        'Time on SIGTERM in which readiness fails already and all is served as before, so that load balancers turn to other replicas, in seconds. Default: 5 in production, otherwise 0'
    })
  ),
  SHUTDOWN_SECONDS: seconds('Time that requests in flight get to finish after that', 10, {
    maximum: MAX_SHUTDOWN_SECONDS
  })
})

export type Environment = Static<typeof EnvironmentSchema>

// keeps what it has made of the schema: a tenth of a second
const ajv = new Ajv({
  verbose: true,
  coerceTypes: true,
  useDefaults: true,
  removeAdditional: true,
  allowUnionTypes: true,
  keywords: ['kind']
})

/**
 * Reads the environment, and `.env` where `dotenv` is set.
 * @throws {ConfigError} with one line that names the variable, what it got and what it takes
 */
export function parseEnvironment (environment: NodeJS.ProcessEnv, dotenv: boolean): Environment {
  // an empty variable is one that is not set (compose files write them so)
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

/** What a variable takes, in words. @param whole also a maximum that nobody comes near */
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
