import type { FastifyInstance, FastifyPluginAsync } from 'fastify'
import fp from 'fastify-plugin'
import { Auditor } from '../audit/auditor.js'
import { CHAIN_PURPOSE } from '../audit/verify.js'
import type { VerifyAccessToken } from '../caller.js'
import { ConfigError } from '../errors.js'
import { observeTogether } from '../mcp/observer.js'
import { Keyring } from '../oauth/keyring.js'
import { ReplicaKeys } from '../oauth/replica-keys.js'
import { createTokenVerifier } from '../oauth/resource-server/resource-server.js'
import { onlyForAudiences } from '../oauth/resource-server/token-audience.js'
import { oauthBroker } from './oauth-broker.js'
import { checkDiscoveryOptions, checkServiceOptions } from './option-checks/check-service.js'
import { kAuditor } from '../plugins/scoped/audited.js'
import { describeProgram } from '../plugins/oauth/login-visits.js'
import { joinBaseUrl } from './base-url.js'
import { listPlaces, listServers, toPolicy, toProtectedServers, type HostedServer } from './hosted-servers.js'
import { onlyFor, registerServer, type ServiceAuth } from './register-server.js'
import { tokenAudiences } from './resource-paths.js'
import { authorizationServerMetadataRoute } from '../routes/well-known/authorization-server.js'
import { protectedResourceMetadataRoute } from '../routes/well-known/protected-resource.js'
import { rootPaths } from '../routes/well-known/paths.js'
import type { Policy } from '../policy/policy.js'
import type { Stores } from '../stores/stores.js'
import type {
  BrokeredOptions,
  HostAuthModeOptions,
  McpDiscoveryOptions,
  McpServiceOptions,
  ResourceServerModeOptions
} from './plugin-options.js'
import { kBroker } from '../plugins/oauth/broker.js'

/**
 * All of `mcpService` in the very context it is registered in, whose own routes get `app.bearerAuth`,
 * `request.authInfo`, `app.mcpSessions` and, with the broker, `app.oauthBroker`.
 * Registering rejects with a `ConfigError` that names the option if one cannot be used.
 * @example
 * ```ts
 * import Fastify from 'fastify'
 * import { mcpServiceParts } from 'fastify-mcp-oauth'
 * import { options } from './options.js'
 *
 * const app = Fastify()
 * await app.register(async ai => {
 *   await ai.register(mcpServiceParts, options)
 *   ai.get('/me', { onRequest: ai.bearerAuth }, async request => ({ subject: request.authInfo?.extra.subject }))
 * }, { prefix: '/ai' })
 * ```
 */
export const mcpServiceParts = fp<McpServiceOptions>(async (app, options) => {
  checkServiceOptions(options)
  const baseUrl = joinBaseUrl(options.publicUrl, app.prefix)
  const keyring = new Keyring(options.encryptionKeys)
  if ('replicaKeys' in options.stores) compareReplicaKeys(app, options.stores.replicaKeys, keyring)
  const policy = toPolicy(options.policy)
  const servers = listServers(options, policy)
  const observed = withAudit(options, addAuditor(app, options, keyring))
  const auth = await registerAuth(app, observed, { baseUrl, servers, keyring, policy })
  for (const server of servers) await registerServer(app, { server, baseUrl, auth, keyring, options: observed })
}, { name: 'fastify-mcp-oauth/mcp-service', fastify: '5.x' })

/**
 * Everything: an MCP server for every client, behind OAuth. In a context of its own: nothing of it reaches the routes
 * of the app around it. It may have a prefix; see `mcpDiscovery`.
 * Registering rejects with a `ConfigError` that names the option if one cannot be used.
 * @example
 * ```ts
 * import Fastify from 'fastify'
 * import mcp, { createMemoryStores } from 'fastify-mcp-oauth'
 * import { createServer } from './server.js'
 *
 * const app = Fastify()
 * await app.register(mcp, {
 *   publicUrl: 'https://mcp.example.com',
 *   createServer,
 *   stores: createMemoryStores({ sessionIdleSeconds: 3600 }),
 *   upstream: { issuerUrl: 'https://login.example.com', scopes: ['openid', 'offline_access'] }
 * })
 * await app.listen({ port: 3000 })
 * ```
 */
export const mcpService: FastifyPluginAsync<McpServiceOptions> = async (app, options) => {
  await app.register(mcpServiceParts, options)
}

/**
 * The metadata of a service that has a prefix, at the root of the origin, where RFC 8414 and RFC 9728 have clients look
 * for it. Register it at the root of the app, with the options of the service.
 * Registering rejects with a `ConfigError` if an option cannot be used, or if this context has a prefix.
 * @example
 * ```ts
 * import Fastify from 'fastify'
 * import { mcpDiscovery, mcpService } from 'fastify-mcp-oauth'
 * import { options } from './options.js'
 *
 * const app = Fastify()
 * await app.register(mcpService, { ...options, prefix: '/ai' })
 * await app.register(mcpDiscovery, { ...options, servicePrefix: '/ai' })
 * ```
 */
export const mcpDiscovery: FastifyPluginAsync<McpDiscoveryOptions> = async (app, options) => {
  checkDiscoveryOptions(options)
  const { servicePrefix, forOrigin = true } = options
  if (app.prefix !== '') {
    throw new ConfigError(
      `mcpDiscovery is registered with the prefix ${JSON.stringify(app.prefix)}; it belongs at the root of the app.`
    )
  }
  const baseUrl = joinBaseUrl(options.publicUrl, servicePrefix)
  const policy = toPolicy(options.policy)
  const shared = {
    servers: toProtectedServers(listPlaces(options, policy), options),
    paths: rootPaths(new URL(baseUrl).pathname, forOrigin)
  }
  await app.register(protectedResourceMetadataRoute, {
    ...shared,
    baseUrl,
    authorizationServers: listAuthorizationServers(options.auth, baseUrl)
  })
  if (isForeign(options.auth)) return
  const { clientMetadataDocuments } = options
  await app.register(authorizationServerMetadataRoute, { ...shared, issuer: baseUrl, clientMetadataDocuments, policy })
}

/** Has this replica compare its keys with those of the others, from its start to its end. */
function compareReplicaKeys (app: FastifyInstance, store: Stores['replicaKeys'], keyring: Keyring): void {
  const keys = new ReplicaKeys({ store, keyring, log: app.log })
  app.addHook('onReady', () => keys.compare())
  app.addHook('onClose', () => keys.close())
}

/** Makes what writes down who did what, for all of this context. */
function addAuditor (app: FastifyInstance, options: McpServiceOptions, keyring: Keyring): Auditor | undefined {
  const { audit, encryptionKeys } = options
  const auditor = audit && new Auditor({
    ...audit,
    // with a key of this process alone, nobody could verify it
    chainKey: encryptionKeys === undefined ? undefined : keyring.derive(CHAIN_PURPOSE)[0],
    argumentsKey: keyring.derive('audit arguments')[0],
    log: app.log
  })
  app.decorate(kAuditor, auditor)
  // the first to be added is the last to be closed
  if (auditor !== undefined) app.addHook('onClose', () => auditor.close())
  return auditor
}

/** The options with the auditor among the observers. */
function withAudit (options: McpServiceOptions, auditor: Auditor | undefined): McpServiceOptions {
  if (auditor === undefined) return options
  const { mcpObserver } = options
  return {
    ...options,
    mcpObserver: observeTogether([...mcpObserver === undefined ? [] : [mcpObserver], auditor.mcpObserver]),
    ...isBrokered(options) && { observers: [...options.observers ?? [], auditor.brokerObserver] }
  }
}

interface ServiceParts {
  baseUrl: string
  servers: readonly HostedServer[]
  keyring: Keyring
  policy: Policy | undefined
}

/** Registers the endpoints that tell clients where tokens come from. @returns how tokens are verified */
async function registerAuth (
  app: FastifyInstance,
  options: McpServiceOptions,
  { baseUrl, servers, keyring, policy }: ServiceParts
): Promise<ServiceAuth> {
  const isOne = servers.length === 1 && servers[0]?.name === undefined
  if (isBrokered(options)) {
    const { policy: _, scopes: __, servers: ___, ...others } = options
    await app.register(oauthBroker, {
      ...others,
      ...policy && { policy },
      protectedServers: toProtectedServers(servers, options),
      keyring
    })
    const broker = app[kBroker]
    const verify: VerifyAccessToken = (token, request) => broker.accessTokens.verify(token, request)
    return {
      isForeign: false,
      findVerifier: server => isOne ? verify : onlyFor(server, { baseUrl, options }, verify),
      bearer: {
        onRefused: (request, hadToken) => {
          broker.attempts?.visit({
            request: hadToken ? 'token-refused' : 'challenge',
            status: 401,
            ...describeProgram(request)
          })
        }
      },
      transports: {
        getUpstreamAccessToken: caller => broker.getUpstreamAccessToken(caller),
        findEndedGrants: grantIds => options.stores.grants.findEnded(grantIds)
      }
    }
  }
  const { auth } = options
  await app.register(protectedResourceMetadataRoute, {
    baseUrl,
    servers: toProtectedServers(servers, options),
    authorizationServers: listAuthorizationServers(auth, baseUrl)
  })
  if (auth.mode === 'host') {
    const { verifyAccessToken } = auth
    return {
      isForeign: true,
      findVerifier: server => isOne ? verifyAccessToken : onlyFor(server, { baseUrl, options }, verifyAccessToken)
    }
  }
  const findAudiences = (of: readonly HostedServer[]) =>
    [...of.flatMap(({ path }) => tokenAudiences(options, baseUrl, path)), ...auth.audiences ?? []]
  const verify = createTokenVerifier({ ...auth, audiences: findAudiences(servers) }, undefined, app.log)
  return {
    isForeign: true,
    findVerifier: server =>
      isOne ? verify : onlyForAudiences(verify, { ...auth, audiences: findAudiences([server]) })
  }
}

type ForeignAuth = (ResourceServerModeOptions | HostAuthModeOptions)['auth']

function isForeign (auth: McpServiceOptions['auth']): auth is ForeignAuth {
  return auth !== undefined && auth.mode !== 'broker'
}

function isBrokered (options: McpServiceOptions): options is BrokeredOptions {
  return !isForeign(options.auth)
}

function listAuthorizationServers (auth: McpServiceOptions['auth'], baseUrl: string): readonly string[] {
  if (!isForeign(auth)) return [baseUrl]
  return auth.mode === 'host' ? auth.authorizationServers : [auth.issuer]
}
