import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { Admission } from '../mcp/admission/admission.js'
import { defaultLimits, type SessionLimits } from '../mcp/limits.js'
import { createOwnerIds } from '../mcp/owner-ids.js'
import { defaultStreamOptions, type McpTransportsOptions } from '../mcp/options.js'
import type { Replica } from '../mcp/replica.js'
import { watchTaskStores } from '../mcp/tasks/unshared-tasks.js'
import { TaskTools } from '../mcp/tasks/task-tools.js'
import { withDefaults } from '../members.js'
import { checkTransportsOptions } from './option-checks/check-service.js'
import { mcpErrors } from '../plugins/mcp/json-rpc-bodies.js'
import { GRACEFUL_CLOSE } from '../plugins/app/graceful-close.js'
import { kChallenges } from '../plugins/mcp/bearer-auth.js'
import { kHandedPosts, mcpHandedPosts } from '../plugins/mcp/handed-posts.js'
import { mcpGuard } from '../plugins/mcp/guard.js'
import { mcpModern } from '../plugins/mcp/modern.js'
import { mcpOpenResponses } from '../plugins/mcp/open-responses.js'
import { recheckGrants } from '../mcp/recheck.js'
import { mcpReplica } from '../plugins/mcp/replica.js'
import { kSessions, mcpSessions } from '../plugins/mcp/sessions.js'
import { kSessionPosts, mcpSessionPosts } from '../plugins/mcp/session-posts.js'
import { mcpSessionless } from '../plugins/mcp/sessionless.js'
import { routeSchemas } from '../plugins/scoped/route-schemas.js'
import { MCP_BODY_BYTES } from '../plugins/scoped/body-limits.js'
import { traceId } from '../plugins/scoped/trace-id.js'
import { MAX_TIMER_MS } from '../validation/values.js'
import { MemoryCallLimitStore } from '../stores/memory/call-limits.js'
import { taskRuns } from '../stores/tasks/runs.js'
import { joinBaseUrl } from './base-url.js'
import { MCP_ENDPOINTS } from './resource-paths.js'
import { sseRoutes } from '../routes/mcp/sse.js'
import { sessionlessHttpRoutes } from '../routes/mcp/sessionless-http.js'
import { streamableHttpRoutes } from '../routes/mcp/streamable-http.js'

/**
 * Serves an MCP server: Streamable HTTP (`/mcp`), revision 2026-07-28 and those before, and the deprecated HTTP+SSE
 * (`/sse`, `/messages`); without sessions `POST /mcp` alone. `app.mcpSessions` is for the context it is registered in;
 * its hooks, parsers, CORS headers and error handler stay with its own routes. Needs the plugin `bearer-auth` before
 * it.
 * @example
 * ```ts
 * import Fastify from 'fastify'
 * import { bearerAuth, createMemoryStores, mcpTransports } from 'fastify-mcp-oauth'
 * import { createServer } from './server.js'
 * import { verifyAccessToken } from './tokens.js'
 *
 * const app = Fastify()
 * const publicUrl = 'https://mcp.example.com'
 * const stores = createMemoryStores({ sessionIdleSeconds: 3600 })
 * const resourceMetadataUrl = () => publicUrl + '/.well-known/oauth-protected-resource/mcp'
 * await app.register(bearerAuth, { verifyAccessToken, resourceMetadataUrl, scopes: ['mcp'] })
 * await app.register(mcpTransports, { publicUrl, createServer, ...stores })
 * ```
 */
export const mcpTransports = fp<McpTransportsOptions>(async (app, options) => {
  checkTransportsOptions(options)
  const { publicUrl, allowedOrigins = [], allowedHosts = [], maxBodyBytes = MCP_BODY_BYTES, drainSeconds = 1 } = options
  const baseUrl = joinBaseUrl(publicUrl, app.prefix)
  const isSessionless = options.sessionMode === 'stateless'
  const paths = isSessionless ? ['/mcp'] : MCP_ENDPOINTS
  const limits = withDefaults(defaultLimits, options.limits)
  const streams = withDefaults(defaultStreamOptions, options.streams)
  const baseScopes = app[kChallenges].scopes
  const admission = makeAdmission(app, options, limits, maxBodyBytes)
  const ownerIds = createOwnerIds(options.requestStateKeys?.[0])
  if (options.tasks?.isShared === true) watchTaskStores(options.createServer)
  const taskTools = makeTaskTools(app, options)
  const beginToClose = followLifetimes(app, options)
  await app.register(mcpReplica, { leases: options.leases, bus: options.bus, tasks: options.tasks })
  if (isSessionless) await app.register(mcpSessionless, { ...options, baseScopes, admission, ownerIds, taskTools })
  else {
    await app.register(mcpSessions, { ...options, baseScopes, admission, taskTools })
    await app.register(mcpHandedPosts, { ...options, admission })
    await app.register(mcpSessionPosts)
  }

  await app.register(async endpoints => {
    await endpoints.register(routeSchemas)
    allowLongHandling(endpoints)
    await endpoints.register(mcpErrors, { maxBodyBytes, authChallenge: options.authChallenge })
    const mcpUrl = `${baseUrl}/mcp`
    const { policy } = options
    await endpoints.register(mcpGuard, { publicUrl, allowedOrigins, allowedHosts, paths, mcpUrl, policy })
    await endpoints.register(mcpOpenResponses, { ...streams, admission, limits, maxBodyBytes })
    await endpoints.register(traceId)
    await endpoints.register(mcpModern, {
      ...options,
      baseScopes,
      ownerIds,
      silenceMs: streams.silenceMs,
      heartbeatMs: streams.heartbeatMs,
      admission,
      suspendedCalls: limits,
      maxBufferedBytes: limits.maxBufferedBytes,
      maxUnreadBytesPerStream: limits.maxUnreadBytesPerStream
    })
    if (isSessionless) await endpoints.register(sessionlessHttpRoutes)
    else {
      await endpoints.register(streamableHttpRoutes)
      await endpoints.register(sseRoutes, { messagesUrl: `${baseUrl}/messages` })
    }
    const counted = [endpoints.mcpModern, isSessionless ? app.mcpSessionless : app[kSessions]]
    for (const part of counted) options.mcpObserver?.counts?.(() => part.counts)
    endpoints.addHook('onClose', recheckGrants(options, () => counted.flatMap(part => [...part.grantsInUse()])))
    const served: Served[] = [...servedPosts(app, isSessionless), ...counted, servedTasks(app.mcpReplica)]
    const drain = async (ms: number) => { await Promise.all(served.map(part => part.drain(ms))) }
    if (app.hasPlugin(GRACEFUL_CLOSE)) app.addDrain(drain)
    // in onClose it would be too late: open streams hang the closing
    endpoints.addHook('preClose', async () => {
      await drain(app.hasPlugin(GRACEFUL_CLOSE) ? app.timeToClose() : drainSeconds * 1000)
      await Promise.all(served.map(async part => { await part.close() }))
      beginToClose()
    })
  })
}, { name: 'fastify-mcp-oauth/mcp-transports', fastify: '5.x', dependencies: ['fastify-mcp-oauth/bearer-auth'] })

function makeTaskTools (app: FastifyInstance, { bus }: McpTransportsOptions): TaskTools {
  const taskTools = new TaskTools(bus, app.log)
  app.addHook('onClose', () => { taskTools.close() })
  return taskTools
}

/**
 * Informs the factory of what ends: it may keep something for a session, or for all.
 * @returns what begins to close the factory: if there are several servers, none waits for another
 */
function followLifetimes (app: FastifyInstance, { createServer, bus }: McpTransportsOptions): () => void {
  const unsubscribe = bus.subscribe('sessionEnded', ({ sessionId }) => { createServer.sessionEnded?.(sessionId) })
  const closeIt = async () => { await createServer.close?.() }
  let closed: Promise<void> | undefined
  const beginToClose = () => {
    closed ??= closeIt()
    // reported by the hook below
    closed.catch(() => {})
  }
  app.addHook('onClose', async () => {
    unsubscribe()
    beginToClose()
    await closed
  })
  return beginToClose
}

/** A stream stays open, and a call takes what it takes. */
function allowLongHandling (endpoints: FastifyInstance): void {
  const { initialConfig } = endpoints
  if (!('handlerTimeout' in initialConfig) || !(Number(initialConfig.handlerTimeout) > 0)) return
  endpoints.addHook('onRoute', route => {
    route.handlerTimeout = MAX_TIMER_MS
  })
}

function makeAdmission (
  app: FastifyInstance,
  { mcpObserver, policy, callLimits }: McpTransportsOptions,
  limits: SessionLimits,
  maxBodyBytes: number
): Admission {
  const own = policy !== undefined && callLimits === undefined ? new MemoryCallLimitStore() : undefined
  const store = callLimits ?? own
  const admission = new Admission(limits, {
    maxBodyBytes,
    onRefused: limit => { mcpObserver?.refused?.(limit) },
    calls: policy && store && { policy, store }
  })
  app.addHook('onClose', () => {
    admission.close()
    own?.close()
  })
  return admission
}

/** Posts that wait for what runs at other replicas: their clients are told before their sessions leave. */
function servedPosts (app: FastifyInstance, isSessionless: boolean): Served[] {
  return isSessionless ? [] : [app[kHandedPosts], app[kSessionPosts]]
}

/** Tasks that run here; those that are left fail once nothing else runs, with their replica. */
function servedTasks (replica: Replica): Served {
  return { drain: ms => taskRuns.drain(replica, ms), close () {} }
}

/** What runs calls and holds streams. */
interface Served {
  /** Waits until nothing runs, or `ms` have passed. What comes meanwhile is served. */
  drain (ms: number): Promise<void>
  /** Ends what is left, and takes no more. */
  close (): Promise<void> | void
}
