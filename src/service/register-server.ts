import { hkdfSync } from 'node:crypto'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { CallerInfo, VerifyAccessToken } from '../caller.js'
import { InvalidTokenError } from '../errors.js'
import { nameServer } from '../mcp/observer.js'
import type { McpTransportsOptions } from '../mcp/options.js'
import type { Keyring } from '../oauth/keyring.js'
import { bearerAuth, type BearerAuthOptions } from '../plugins/mcp/bearer-auth.js'
import { serverName } from '../plugins/mcp/server-name.js'
import { separateStores } from '../stores/separate-stores.js'
import { isHostOf } from '../validation/authorities.js'
import type { HostedServer } from './hosted-servers.js'
import { mcpTransports } from './mcp-transports.js'
import { isAtBase } from './own-paths.js'
import type { McpServiceOptions } from './plugin-options.js'
import { protectedPaths } from './resource-paths.js'

/** How callers are known. */
export interface ServiceAuth {
  /** Verifies a token, for any server or for the one that is named. */
  findVerifier: (server: HostedServer) => VerifyAccessToken
  /** Whether policies were not asked at the login. */
  isForeign: boolean
  bearer?: Pick<BearerAuthOptions, 'onRefused'>
  transports?: Pick<McpTransportsOptions, 'getUpstreamAccessToken' | 'findEndedGrants'>
}

export interface ServerParts {
  server: HostedServer
  /** Of the service. */
  baseUrl: string
  auth: ServiceAuth
  keyring: Keyring
  options: McpServiceOptions
}

/**
 * Registers the endpoints of one MCP server. The only one is in this very context; one of several is in a context of
 * its own, at its path, and shares nothing with the others but the logins.
 */
export async function registerServer (app: FastifyInstance, parts: ServerParts): Promise<void> {
  const { server: { name, path } } = parts
  if (name === undefined) await registerEndpoints(app, parts)
  else {
    await app.register(async context => {
      await context.register(serverName, { name })
      await registerEndpoints(context, parts)
    }, { prefix: path })
  }
}

async function registerEndpoints (app: FastifyInstance, { server, baseUrl, auth, keyring, options }: ServerParts) {
  const { path, scopes, policy } = server
  await app.register(bearerAuth, {
    verifyAccessToken: auth.findVerifier(server),
    // in this context: a place at the root of the origin may be somebody else's
    resourceMetadataUrl: request =>
      `${baseUrl}/.well-known/oauth-protected-resource${findResourcePath(request, baseUrl, path)}`,
    scopes: [scopes[0]],
    findHint: request =>
      isHostOf(baseUrl, request.headers.host)
        ? undefined
        : `The address of this server is ${baseUrl}${path}/mcp: use this name.`,
    // the broker has asked at the login, and asks at each refresh
    ...auth.isForeign && policy && { policy },
    ...auth.bearer
  })
  const { policy: _, servers: __, reuseInstances: ___, maySubscribe: ____, limits: _____, ...shared } = options
  const { createServer, reuseInstances, maySubscribe, limits } = server
  await app.register(mcpTransports, {
    ...shared,
    createServer,
    ...reuseInstances !== undefined && { reuseInstances },
    ...maySubscribe && { maySubscribe },
    ...limits && { limits },
    ...policy && { policy },
    ...ownParts(server, options, keyring),
    ...'tasks' in options.stores && { tasks: options.stores.tasks },
    ...auth.transports
  })
}

/** What one of several servers must not share: what is kept, the keys of what clients bring back, what is observed. */
function ownParts ({ name }: HostedServer, options: McpServiceOptions, keyring: Keyring) {
  const { requestStateKeys: keys, mcpObserver, stores } = options
  if (name === undefined) {
    const { sessions, eventLog, leases, bus, callLimits } = stores
    const requestStateKeys = keys ?? keyring.derive('request state')
    return { requestStateKeys, sessions, eventLog, leases, bus, ...callLimits && { callLimits } }
  }
  return {
    requestStateKeys: keys?.map(key => deriveKey(key, name)) ?? keyring.derive(`request state of ${name}`),
    ...separateStores(stores, name),
    ...mcpObserver && { mcpObserver: nameServer(mcpObserver, name) }
  }
}

function deriveKey (key: Uint8Array, name: string): Uint8Array {
  return new Uint8Array(hkdfSync('sha256', key, '', `fastify-mcp-oauth server ${name}`, 32))
}

/** Of the endpoint that a client has called. It takes the metadata of no other (RFC 9728 3.3). */
function findResourcePath ({ routeOptions, originalUrl }: FastifyRequest, baseUrl: string, path: string): string {
  if (path === '' && isAtBase(originalUrl, baseUrl)) return ''
  return path + (routeOptions.url?.endsWith('/mcp') === true ? '/mcp' : '/sse')
}

/**
 * Accepts only tokens for one server: those whose `resource` (RFC 8707) is one of its endpoints.
 * @param verify says what a token is for
 */
export function onlyFor (
  { path }: HostedServer,
  { baseUrl, options }: Pick<ServerParts, 'baseUrl' | 'options'>,
  verify: VerifyAccessToken
): VerifyAccessToken {
  const resources = new Set(protectedPaths(options, path).map(path => baseUrl + path))
  const check = (caller: CallerInfo): CallerInfo => {
    if (caller.resource !== undefined && resources.has(caller.resource.href)) return caller
    throw new InvalidTokenError('The access token is for another resource.', { reason: 'other_resource' })
  }
  return (token, request) => {
    const verified = verify(token, request)
    return 'then' in verified ? verified.then(check) : check(verified)
  }
}
