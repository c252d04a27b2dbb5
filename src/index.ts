/** What a larger Fastify app imports. */
export {
  mcpDiscovery, mcpService, mcpServiceParts,
  type BrokerModeOptions, type HostAuthModeOptions, type McpDiscoveryOptions, type McpServiceOptions, type ResourceServerModeOptions
} from './mcp-service.js'
export { oauthBroker, type OAuthBrokerOptions } from './oauth-broker.js'
export { mcpTransports } from './mcp-transports.js'
export type { McpTransportsOptions, StreamOptions } from './mcp/options.js'
export type { SessionLimits } from './mcp/limits.js'
export type { CreateServer, PluggedServer, ServerContext } from './mcp/create-server.js'
export type { McpObserver, ObservedRequest, RequestEnd } from './mcp/observer.js'
export type { ObservedUpstreamRequest, UpstreamObserver } from './oauth/observer.js'
export { observeTogether } from './mcp/observer.js'
export { mcpTracing } from './mcp/tracing.js'
export { Metrics } from './metrics.js'
export { requireScopes } from './mcp/required-scopes.js'
export { constantSchema } from './mcp/constant-schema.js'
export { bearerAuth, type BearerAuthOptions } from './plugins/bearer-auth.js'
export type { CallerInfo, VerifyAccessToken } from './auth-info.js'
export type { AuthorizeGrant, AuthorizeGrantDecision, BrokerLifetimes, PreregisteredClient, UpstreamOptions } from './oauth/options.js'
// from the plugins, which add app.oauthBroker and app.mcpSessions to the types of Fastify
export type { Broker } from './plugins/broker.js'
export type { SessionRegistry } from './plugins/mcp-sessions.js'
export type { BrokerEvent, BrokerObserver } from './oauth/events.js'
export { Keyring } from './oauth/keyring.js'
export { createMemoryStores, type MemoryStoresOptions } from './stores/memory/stores.js'
export { createRedisStores, type RedisStoresOptions } from './stores/redis/stores.js'
export type { BrokerStores, SessionStores, Stores } from './stores/stores.js'
export * from './errors.js'
