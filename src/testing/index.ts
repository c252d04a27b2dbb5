/** What tests of an app around this one import, from `fastify-mcp-oauth/testing`. */
export { assertPluggable, type PluggableOptions } from './assert-pluggable.js'
export { testClient, LoginError, type DiscoveredServer, type LoginOptions, type TestClient, type TestClientOptions } from './test-client.js'
export type { TestSession } from './test-session.js'
export type { JsonObject, ServerRequestAnswers, TestProtocolVersion } from './mcp-calls.js'
export { injectFetch, type InjectableApp } from './inject-fetch.js'
export { ScriptableUpstream } from './upstream.js'
export type { ScriptableUpstreamOptions } from './upstream-options.js'
export type { ReceivedRequest, UpstreamAnswer, UpstreamEndpoint, UpstreamOverride } from './upstream-requests.js'
