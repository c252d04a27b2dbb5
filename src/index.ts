/** What a larger Fastify app imports. The default export is the plugin itself. */
export { mcpService as default } from './service/mcp-service.js'
export { mcpDiscovery, mcpService, mcpServiceParts } from './service/mcp-service.js'
export { oauthBroker } from './service/oauth-broker.js'
export { mcpTransports } from './service/mcp-transports.js'
export type {
  BrokerModeOptions,
  HostAuthModeOptions,
  HostedServerOptions,
  HostedServersOption,
  McpDiscoveryOptions,
  McpServiceOptions,
  OAuthBrokerOptions,
  ResourceServerModeOptions,
  SeveralServersOptions
} from './service/plugin-options.js'
export type { AuthChallenge, McpTransportsOptions, StreamOptions } from './mcp/options.js'
export type { SessionLimits } from './mcp/limits.js'
export type { CreateServer, PluggedServer, ServerContext, ServerLifetimes } from './mcp/create-server.js'
export { remoteServer } from './hosted/remote/remote-server.js'
export type { RemoteLimits, RemoteServerOptions, TokenExchangeOptions } from './hosted/remote/options.js'
export type { InboundHttp, McpObserver, ObservedRequest, RefusedRequest, RequestEnd } from './mcp/observer.js'
export type { ObservedUpstreamRequest, UpstreamObserver } from './oauth/upstream-observer.js'
export { observeTogether } from './mcp/observer.js'
export { mcpTracing } from './observability/mcp-tracing.js'
export { Metrics } from './observability/metrics.js'
export { stdioServer } from './hosted/stdio/stdio-server.js'
export type { StdioLimits, StdioServerOptions } from './hosted/stdio/options/options.js'
export { requireScopes } from './mcp/scopes/required-scopes.js'
export type { ScopesByName, ScopesByPrimitive } from './mcp/scopes/declared-scopes.js'
export { constantSchema } from './mcp/constant-schema.js'
export { bearerAuth, type BearerAuthOptions } from './plugins/mcp/bearer-auth.js'
export type { AuditedArgument } from './audit/arguments.js'
export type { AuditOptions } from './audit/auditor.js'
export { AuditEventSchema, type AuditEvent } from './audit/event.js'
export { auditToFile, type AuditFileOptions } from './audit/sinks/file.js'
export { auditToStdout } from './audit/sinks/stdout.js'
export type { AuditSink, AuditTarget } from './audit/sinks/sink.js'
export type { AnonymousCaller, CallerInfo, VerifyAccessToken } from './caller.js'
export type { PreregisteredClient } from './oauth/client.js'
export type { AuthorizeGrant, AuthorizeGrantDecision, BrokerLifetimes, UpstreamOptions } from './oauth/options.js'
export type { ProviderName } from './oauth/providers/providers.js'
export { Policy, type LoginDecision } from './policy/policy.js'
export type {
  CallLimits,
  ClaimRule,
  ClientRules,
  LimitRules,
  PeopleRule,
  PolicyRules,
  PrimitivePatterns,
  RoleRules
} from './policy/rules.js'
export type { ProxyOptions } from './outbound/proxy.js'
// from the plugins, which add app.oauthBroker and app.mcpSessions to the types of Fastify
export type { Broker } from './plugins/oauth/broker.js'
export type { SessionRegistry } from './plugins/mcp/sessions.js'
export type { BrokerEvent, BrokerObserver } from './oauth/login-events.js'
export type { ProtectedServer } from './oauth/resources.js'
export { Keyring } from './oauth/keyring.js'
export { createMemoryStores } from './stores/memory/stores.js'
export { createRedisStores } from './stores/redis/stores.js'
export { createSqliteStores } from './stores/sqlite/stores.js'
export { separateStores } from './stores/separate-stores.js'
export { createTaskMessageQueue } from './stores/tasks/message-queue.js'
export { createTaskStore } from './stores/tasks/store.js'
export type { TaskStore, TaskStoreOptions } from './stores/tasks/store.js'
export type { TaskMessageQueue } from './stores/tasks/message-queue.js'
export type { MemoryStoresOptions, RedisStoresOptions, SqliteStoresOptions } from './stores/options.js'
export type { BrokerStores, SessionStores, Stores } from './stores/stores.js'
// those that an app around the service can meet: thrown at it, thrown by it, or seen in its onError hooks
export {
  ConfigError,
  InsufficientScopeError,
  InvalidGrantError,
  InvalidTokenError,
  TokenRequiredError,
  McpRequestError,
  OAuthError,
  RateLimitedError,
  ServiceError,
  SessionsFullError,
  TemporarilyUnavailableError,
  UpstreamError
} from './errors.js'
export type { FailureReason, LimitName } from './errors.js'
