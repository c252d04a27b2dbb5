import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import Fastify, { type FastifyInstance } from 'fastify'
import type { CallerInfo } from './caller.js'
import type { Config } from './config/config.js'
import { ConfiguredPolicies } from './config/configured-policies.js'
import type { UpstreamConfig } from './config/upstream.js'
import { ConfigError } from './errors.js'
import type { CreateServer } from './mcp/create-server.js'
import { describeServer } from './mcp/describe-server.js'
import { ServiceMetrics } from './observability/service-metrics.js'
import { mcpServiceParts } from './service/mcp-service.js'
import { ownPaths } from './service/own-paths.js'
import type { HostedServerOptions } from './service/plugin-options.js'
import { MCP_ENDPOINTS } from './service/resource-paths.js'
import type { UpstreamOptions } from './oauth/options.js'
import { finishResponses, gracefulClose } from './plugins/app/graceful-close.js'
import { withoutQuery } from './plugins/scoped/log-serializers.js'
import { methodNotAllowed } from './plugins/scoped/other-methods.js'
import { kAuditor } from './plugins/scoped/audited.js'
import { pressure } from './plugins/app/pressure.js'
import { QuietLogController, requestLog } from './plugins/app/request-log.js'
import { tracing } from './plugins/app/tracing.js'
import { healthRoutes, type HealthOptions } from './routes/operations/health.js'
import { homeRoute } from './routes/operations/home.js'
import { metricsRoute } from './routes/operations/metrics.js'
import { openApiRoute } from './routes/operations/openapi.js'
import { checkConfig, serviceOptions } from './config/service-options.js'
import { createMemoryStores } from './stores/memory/stores.js'
import { createRedisStores } from './stores/redis/stores.js'
import { isBusy } from './stores/sqlite/database/errors.js'
import { createSqliteStores } from './stores/sqlite/stores.js'
import type { Stores } from './stores/stores.js'

// a plugin's hook may take twice as long
const STORE_MS = 5000
const STORE_POLL_MS = 50
// the process before this one may still be closing
const LOCK_MS = 10_000
// what a plugin may take to start, or to close when nothing runs
const PLUGIN_SECONDS = 10
// how often Node.js looks for requests that are late
const MAX_CHECK_MS = 1000

/** What the log must never show of a request. */
const REDACTED = [
  'req.headers.authorization',
  'req.headers.cookie',
  'res.headers["set-cookie"]',
  'res.headers.location'
]

/** The caller for whom the server is described on its home page. */
export const ANYBODY: CallerInfo = { token: '', clientId: '', scopes: [], extra: { issuer: '', subject: '' } }

export interface BuildAppOptions {
  /** Where people log in. Default: the configured upstream. */
  upstream?: (UpstreamConfig & Pick<UpstreamOptions, 'fetch'>) | undefined
  /** The server that is hosted, if it is one. */
  createServer?: CreateServer
  /** The servers of SERVERS_FILE, by their names. */
  servers?: Readonly<Record<string, CreateServer>> | undefined
  /** The issuer of the demo upstream, if that is where people log in. */
  demoLogin?: string | undefined
  /** Where the stores keep their state, without Redis; absent: in memory. */
  stateFile?: string | undefined
  /** Who may do what, with the files that say it. Default: as configured. */
  policies?: ConfiguredPolicies | undefined
  /** What is counted. Default: its own metrics. */
  metrics?: ServiceMetrics
  /** Where the log goes. Default: standard output. */
  logStream?: { write (line: string): void }
}

/**
 * Builds the service, in the order data flows. It does not listen yet.
 * @throws {ConfigError}
 */
export async function buildApp (config: Config, {
  upstream = config.upstream,
  createServer,
  servers = {},
  policies = new ConfiguredPolicies(config),
  metrics = new ServiceMetrics(),
  logStream,
  demoLogin,
  stateFile
}: BuildAppOptions): Promise<FastifyInstance> {
  if (upstream === undefined) {
    throw new ConfigError('No upstream is configured: set OAUTH_PROVIDER or OAUTH_ISSUER_URL.')
  }
  checkConfig(config)
  const app = makeInstance(config, logStream)
  watchPolicies(app, policies)
  const hosted = listHosted(config, { createServer, servers }, policies)
  const onError = (error: Error) => { app.log.warn({ err: error }, 'the store reported an error') }
  const stores = await createStores(config, stateFile, metrics, onError)
  app.addHook('onClose', () => stores.close())
  app.addHook('onReady', () => reachable(stores))
  metrics.watchEventLog(stores.eventLog)

  await app.register(requestLog, { onEnd: metrics.onRequestEnd })
  await app.register(methodNotAllowed, {
    mcpPaths: hosted.flatMap(({ path }) => MCP_ENDPOINTS.map(endpoint => path + endpoint))
  })
  // what a load balancer forwards is open to the world
  const openMetrics = config.metricsToken !== undefined || config.local
  await app.register(openApiRoute, {
    publicUrl: config.publicUrl,
    scopes: hosted.flatMap(({ scopes }) => scopes),
    broker: config.authMode === 'broker',
    admin: config.authMode === 'broker' && config.adminToken !== undefined,
    metrics: openMetrics
  })
  if (config.tracing) await app.register(tracing)
  await app.register(pressure, { maxEventLoopDelayMs: config.maxEventLoopDelayMs, maxHeapBytes: config.maxHeapBytes })
  await app.register(gracefulClose, { delaySeconds: config.shutdownDelaySeconds, drainSeconds: config.shutdownSeconds })
  await app.register(healthRoutes, { ...listChecks(app, config, stores), onResult: metrics.onCheck })
  if (openMetrics) await app.register(metricsRoute, { metrics, token: config.metricsToken })
  await app.register(homeRoute, {
    publicUrl: config.publicUrl,
    connections: config.authMode === 'broker',
    demoLogin,
    servers: hosted.map(({ createServer, ...server }) => {
      const policy = policies.find(server.name ?? '')
      return {
        ...server,
        ...config.publicTools && { describe: () => describeServer(createServer, ANYBODY, app.log) },
        ...policy && { isShown: (tool: string) => policy.isShownToAll({ kind: 'tools', name: tool }) }
      }
    })
  })
  await app.register(
    mcpServiceParts,
    serviceOptions(config, { upstream, ...toServed(hosted), stores, metrics, policy: policies.common })
  )
  await app.register(finishResponses)
  return app
}

/** What decides whether this process is ready, and what is only shown. */
function listChecks (
  app: FastifyInstance,
  { audit, authMode }: Config,
  stores: Stores
): Pick<HealthOptions, 'checks' | 'alsoShown'> {
  const checkAudit = async () => { await app[kAuditor]?.check() }
  return {
    checks: { store: () => stores.check(), ...audit?.required === true && { audit: checkAudit } },
    alsoShown: {
      // people who have logged in are served without it
      ...authMode === 'broker' && { upstream: () => app.oauthBroker.check() },
      ...audit !== undefined && audit.required !== true && { audit: checkAudit }
    }
  }
}

function watchPolicies (app: FastifyInstance, policies: ConfiguredPolicies): void {
  app.addHook('onReady', async () => { policies.watch(app.log) })
  app.addHook('onClose', async () => { policies.close() })
}

/** A server, and its place; without a name and a title, it is the only one. */
interface Hosted extends HostedServerOptions {
  name?: string
  path: string
  scopes: readonly [string, ...string[]]
}

function listHosted (
  { servers, mcpScopes }: Config,
  created: { createServer: CreateServer | undefined, servers: Readonly<Record<string, CreateServer>> },
  policies: ConfiguredPolicies
): readonly Hosted[] {
  if (servers === undefined) {
    const { createServer } = created
    if (createServer === undefined) throw new ConfigError('No MCP server is named: set SERVER_MODULE.')
    return [{ path: '', scopes: mcpScopes, createServer }]
  }
  return servers.map(({ name, path, title, scopes }) => {
    const createServer = created.servers[name]
    if (createServer === undefined) throw new ConfigError(`The server ${name} of SERVERS_FILE was not made.`)
    const policy = policies.find(name)
    return { name, path, title, scopes, createServer, ...policy && { policy } }
  })
}

/** As `mcpService` takes them. */
function toServed (
  hosted: readonly Hosted[]
): { createServer: CreateServer } | { servers: Record<string, HostedServerOptions> } {
  const [first] = hosted
  if (first !== undefined && first.name === undefined) return { createServer: first.createServer }
  return { servers: Object.fromEntries(hosted.map(({ name = '', ...server }) => [name, server])) }
}

function makeInstance (config: Config, logStream: BuildAppOptions['logStream']): FastifyInstance {
  return Fastify({
    logger: {
      level: config.logLevel,
      redact: REDACTED,
      ...logStream && { stream: logStream },
      serializers: withoutQuery
    },
    logController: new QuietLogController(),
    trustProxy: toTrustProxy(config.trustProxy),
    genReqId: () => randomUUID(),
    forceCloseConnections: true,
    ...httpOptions(config),
    keepAliveTimeout: config.keepAliveTimeoutSeconds * 1000,
    // also bounds closing, which may take as long as the running calls
    pluginTimeout: (config.shutdownSeconds + PLUGIN_SECONDS) * 1000,
    routerOptions: { ignoreTrailingSlash: true },
    rewriteUrl: ownPaths(config.publicUrl, config.servers === undefined ? config.sessionMode : 'several servers')
  })
}

/**
 * Waits until the store responds, because load balancers send requests to any process that listens. If it does not
 * respond in time, the service starts anyway, and is not ready.
 */
async function reachable (stores: Stores): Promise<void> {
  const latest = performance.now() + STORE_MS
  while (performance.now() < latest && !await stores.check().then(() => true, () => false)) await delay(STORE_POLL_MS)
}

/** Everything that is kept: in Redis for all replicas, in a file of this process, or in its memory. */
async function createStores (
  config: Config,
  stateFile: string | undefined,
  { onCommand }: ServiceMetrics,
  onError: (error: Error) => void
): Promise<Stores> {
  const eventLog = {
    retentionSeconds: config.eventLogSeconds,
    maxEventsPerStream: config.eventLogEventsPerStream,
    maxBytesPerStream: config.eventLogBytesPerStream,
    maxBytesPerSession: config.eventLogBytesPerSession
  }
  const {
    limits: { idleSeconds: sessionIdleSeconds },
    maxSessions,
    redisUrl,
    redisCluster: cluster,
    redisKeyPrefix: keyPrefix
  } = config
  if (redisUrl !== undefined) {
    const options = { url: redisUrl, cluster, keyPrefix, sessionIdleSeconds, maxSessions, eventLog }
    return createRedisStores({ ...options, onError, onCommand })
  }
  const options = { sessionIdleSeconds, maxSessions, eventLog: { ...eventLog, maxBytes: config.eventLogBytes } }
  if (stateFile === undefined) return createMemoryStores(options)
  return await whenReleased(() => createSqliteStores({ ...options, file: stateFile }))
}

/** Opens what another process may have open, which is given some time to let go of it. */
async function whenReleased<T> (open: () => T): Promise<T> {
  const latest = performance.now() + LOCK_MS
  for (;;) {
    try {
      return open()
    } catch (error) {
      const isHeld = error instanceof Error && isBusy(error.cause)
      if (!isHeld || performance.now() > latest) throw error
    }
    await delay(STORE_POLL_MS)
  }
}

// a number of hops: the nearest addresses are proxies
function toTrustProxy (value: Config['trustProxy']): boolean | string | ((address: string, hop: number) => boolean) {
  return typeof value === 'number' ? (_address, hop) => hop < value : value
}

/**
 * How long a request may take to arrive: its headers, and all of it; and how long the headers may be. Responses and
 * streams take what they take.
 */
function httpOptions ({ requestTimeoutSeconds, maxHeaderBytes: maxHeaderSize }: Config) {
  const ms = requestTimeoutSeconds * 1000
  const connectionsCheckingInterval = Math.min(ms / 4, MAX_CHECK_MS)
  return {
    requestTimeout: ms,
    http: { requestTimeout: ms, headersTimeout: ms, connectionsCheckingInterval, maxHeaderSize }
  }
}
