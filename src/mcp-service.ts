import type { FastifyInstance, FastifyPluginAsync, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import type { VerifyAccessToken } from './auth-info.js'
import type { McpTransportsOptions } from './mcp/options.js'
import { mcpTransports } from './mcp-transports.js'
import { Keyring } from './oauth/keyring.js'
import { createTokenVerifier, type ResourceServerOptions } from './oauth/resource-server.js'
import { oauthBroker, type OAuthBrokerOptions } from './oauth-broker.js'
import { bearerAuth, type BearerAuthOptions } from './plugins/bearer-auth.js'
import { programOf } from './plugins/visits.js'
import { protectedResourceMetadataRoute } from './routes/protected-resource-metadata.js'
import type { SessionStores, Stores } from './stores/stores.js'

interface CommonOptions extends Omit<McpTransportsOptions, 'sessions' | 'eventLog' | 'leases' | 'bus' | 'getUpstreamAccessToken'> {
  /** Our scopes; the first is granted to, or asked of, a client that names none. Default: `mcp`. */
  scopes?: readonly [string, ...string[]]
}

/** Clients log in with us, and people at the upstream. */
export interface BrokerModeOptions extends CommonOptions, Omit<OAuthBrokerOptions, 'stores' | 'keyring' | 'resourcePaths' | 'scopes' | 'publicUrl'> {
  auth?: { mode: 'broker' }
  stores: Stores
  /** Keys that seal upstream tokens at rest: `id:base64url of 32 bytes`, comma-separated. Default: a key of this process. */
  encryptionKeys?: string
}

/** Clients log in at an authorization server of their own choice of flow; we only verify its tokens. */
export interface ResourceServerModeOptions extends CommonOptions {
  auth: { mode: 'resource-server' } & Omit<ResourceServerOptions, 'audiences'> & {
    /** What tokens' `aud` may name, besides the URLs of the MCP endpoints. */
    audiences?: readonly string[]
  }
  stores: SessionStores
}

/** The app around verifies the tokens. */
export interface HostAuthModeOptions extends CommonOptions {
  auth: {
    mode: 'host'
    verifyAccessToken: VerifyAccessToken
    /** Issuers of the tokens, for the protected resource metadata. */
    authorizationServers: readonly string[]
  }
  stores: SessionStores
}

/** Options of the `mcpService` plugin. */
export type McpServiceOptions = BrokerModeOptions | ResourceServerModeOptions | HostAuthModeOptions

/** All of `mcpService` in the very context it is registered in, which gets `request.authInfo` and, with the broker, `app.broker`. */
export const mcpServiceParts = fp<McpServiceOptions>(async (app, options) => {
  const { publicUrl, stores: { sessions, eventLog, leases, bus }, scopes = ['mcp'] } = options
  const auth = await registerAuth(app, options, scopes)
  await app.register(bearerAuth, {
    verifyAccessToken: auth.verifyAccessToken,
    resourceMetadataUrl: request => `${publicUrl}/.well-known/oauth-protected-resource${resourcePathOf(request)}`,
    scopes: [scopes[0]],
    ...auth.bearer
  })
  await app.register(mcpTransports, { ...options, sessions, eventLog, leases, bus, ...auth.transports })
}, { name: 'mcp-service', fastify: '5.x' })

/**
 * Everything: an MCP server for every client, behind OAuth. In a context of its own: nothing of it reaches the routes of
 * the app around it.
 */
export const mcpService: FastifyPluginAsync<McpServiceOptions> = async (app, options) => {
  await app.register(mcpServiceParts, options)
}

/** Registers the endpoints that tell clients where tokens come from. @returns how tokens are verified */
async function registerAuth (
  app: FastifyInstance, options: McpServiceOptions, scopes: readonly [string, ...string[]]
): Promise<{ verifyAccessToken: VerifyAccessToken, bearer?: Pick<BearerAuthOptions, 'onRefused'>, transports?: Pick<McpTransportsOptions, 'getUpstreamAccessToken' | 'requestStateKeys'> }> {
  const { publicUrl } = options
  const resourcePaths: readonly [string, ...string[]] = options.sessionMode === 'stateless' ? ['/mcp'] : ['/mcp', '/sse']
  if (!isForeign(options)) {
    const keyring = new Keyring(options.encryptionKeys)
    await app.register(oauthBroker, { ...options, scopes, resourcePaths, keyring })
    const { broker } = app
    return {
      verifyAccessToken: token => broker.accessTokens.verify(token),
      bearer: {
        onRefused: (request, hadToken) => { broker.attempts?.visit({ request: hadToken ? 'token-refused' : 'challenge', status: 401, ...programOf(request) }) }
      },
      transports: { getUpstreamAccessToken: caller => broker.getUpstreamAccessToken(caller), requestStateKeys: keyring.derive('request state') }
    }
  }
  const { auth } = options
  const authorizationServers = auth.mode === 'host' ? auth.authorizationServers : [auth.issuer]
  await app.register(protectedResourceMetadataRoute, { publicUrl, scopes, resourcePaths, authorizationServers })
  if (auth.mode === 'host') return { verifyAccessToken: auth.verifyAccessToken }
  const own = resourcePaths.map(path => publicUrl + path)
  return { verifyAccessToken: createTokenVerifier({ ...auth, audiences: [...own, publicUrl, ...auth.audiences ?? []] }) }
}

function isForeign (options: McpServiceOptions): options is ResourceServerModeOptions | HostAuthModeOptions {
  return options.auth !== undefined && options.auth.mode !== 'broker'
}

function resourcePathOf ({ routeOptions }: FastifyRequest): string {
  return routeOptions.url?.endsWith('/mcp') === true ? '/mcp' : '/sse'
}
