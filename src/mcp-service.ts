import type { FastifyPluginAsync, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import type { McpTransportsOptions } from './mcp/options.js'
import { mcpTransports } from './mcp-transports.js'
import { Keyring } from './oauth/keyring.js'
import { oauthBroker, type OAuthBrokerOptions } from './oauth-broker.js'
import { bearerAuth } from './plugins/bearer-auth.js'
import type { Stores } from './stores/stores.js'

/** Options of the `mcpService` plugin. */
export interface McpServiceOptions extends
  Omit<McpTransportsOptions, 'sessions' | 'eventLog' | 'bus' | 'getUpstreamAccessToken'>,
  Omit<OAuthBrokerOptions, 'stores' | 'keyring' | 'resourcePaths' | 'scopes'> {
  stores: Stores
  /** Keys that seal upstream tokens at rest: `id:base64url of 32 bytes`, comma-separated. Default: a key of this process. */
  encryptionKeys?: string
  /** Our scopes; the first is granted to a client that names none. Default: `mcp`. */
  scopes?: readonly [string, ...string[]]
}

/** All of `mcpService` in the very context it is registered in, which gets `app.broker` and `request.authInfo`. */
export const mcpServiceParts = fp<McpServiceOptions>(async (app, options) => {
  const { publicUrl, stores, scopes = ['mcp'] } = options
  await app.register(oauthBroker, { ...options, scopes, resourcePaths: options.sessionMode === 'stateless' ? ['/mcp'] : ['/mcp', '/sse'], keyring: new Keyring(options.encryptionKeys) })
  const { broker } = app
  await app.register(bearerAuth, {
    verifyAccessToken: token => broker.accessTokens.verify(token),
    resourceMetadataUrl: request => `${publicUrl}/.well-known/oauth-protected-resource${resourcePathOf(request)}`,
    scopes: [scopes[0]]
  })
  await app.register(mcpTransports, { ...options, ...stores, getUpstreamAccessToken: caller => broker.getUpstreamAccessToken(caller) })
}, { name: 'mcp-service', fastify: '5.x' })

/**
 * Everything: an MCP server for every client, behind OAuth that is brokered to the upstream. In a context of its own:
 * nothing of it reaches the routes of the app around it.
 */
export const mcpService: FastifyPluginAsync<McpServiceOptions> = async (app, options) => {
  await app.register(mcpServiceParts, options)
}

function resourcePathOf ({ routeOptions }: FastifyRequest): string {
  return routeOptions.url?.endsWith('/mcp') === true ? '/mcp' : '/sse'
}
