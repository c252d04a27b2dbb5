import type { McpTransportsOptions } from '../mcp/options.js'
import type { SessionStores, Stores } from '../stores/stores.js'
import type { ResourceServerOptions } from '../oauth/resource-server/resource-server.js'
import type { AuditOptions } from '../audit/auditor.js'
import type { VerifyAccessToken } from '../caller.js'
import type { Policy } from '../policy/policy.js'
import type { PolicyRules } from '../policy/rules.js'
import type { BrokerOptions } from '../oauth/options.js'
import type { ProtectedServer } from '../oauth/resources.js'

/**
 * One of several MCP servers of a service.
 * @example
 * ```ts
 * import type { HostedServerOptions } from 'fastify-mcp-oauth'
 * import { createServer } from './server.js'
 *
 * // pass it as one of `servers` of `mcpService`
 * export const notes: HostedServerOptions = {
 *   createServer,
 *   title: 'Notes',
 *   scopes: ['notes:read', 'notes:write'],
 *   policy: { login: { groups: ['staff'] } }
 * }
 * ```
 */
export interface HostedServerOptions
  extends Pick<McpTransportsOptions, 'createServer' | 'reuseInstances' | 'maySubscribe' | 'limits'> {
  /** What people call it. Default: its name. */
  title?: string
  /** Its place, from the service: its endpoints are `<path>/mcp` and `<path>/sse`. Default: `/` and its name. */
  path?: string
  /** Its scopes; the first is granted to a client that names none. Default: those of the service. */
  scopes?: readonly [string, ...string[]]
  /** Who may log in to use it, and what each may use. Default: that of the service. */
  policy?: PolicyRules | Policy
}

interface CommonOptions
  extends
  Omit<
    McpTransportsOptions,
    'sessions' | 'eventLog' | 'leases' | 'bus' | 'callLimits' | 'tasks' | 'getUpstreamAccessToken' | 'findEndedGrants' |
    'policy'
  > {
  /** Several MCP servers in the place of `createServer`: see `SeveralServersOptions`. */
  servers?: undefined
  /**
   * Who may log in, which clients may ask, and what each person may use: rules, or a `Policy` whose rules you replace
   * while it is in use. Default: everybody whom the login server lets in may use everything.
   */
  policy?: PolicyRules | Policy
  /** Writes down who did what: each login, refusal, grant and call. Default: nothing is. */
  audit?: AuditOptions
  /** Our scopes; the first is granted to, or asked of, a client that names none. Default: `mcp`. */
  scopes?: readonly [string, ...string[]]
  /**
   * Keys that replicas share: `id:base64url of 32 bytes`, comma-separated. They seal what is kept of upstream tokens,
   * and what clients bring back (`requestState`). Default: a key of this process.
   */
  encryptionKeys?: string
}

/**
 * Options of `mcpService` if clients log in at this service, and people at the upstream. This service issues the
 * tokens.
 * @example
 * ```ts
 * import { createRedisStores, type BrokerModeOptions } from 'fastify-mcp-oauth'
 * import { createServer } from './server.js'
 *
 * export const options: BrokerModeOptions = {
 *   publicUrl: 'https://mcp.example.com',
 *   createServer,
 *   stores: createRedisStores({ url: 'redis://localhost:6379', sessionIdleSeconds: 3600 }),
 *   upstream: { issuerUrl: 'https://login.example.com', scopes: ['openid', 'offline_access'] },
 *   scopes: ['notes:read', 'notes:write'],
 *   scopeDescriptions: { 'notes:read': 'Read your notes', 'notes:write': 'Change your notes' }
 * }
 * ```
 */
export interface BrokerModeOptions
  extends
  CommonOptions,
  Omit<
    OAuthBrokerOptions,
    'stores' | 'keyring' | 'resourcePaths' | 'scopes' | 'protectedServers' | 'publicUrl' | 'policy'
  > {
  /** Who issues the tokens: this service. */
  auth?: { mode: 'broker' }
  /** What is kept: `createMemoryStores` or `createSqliteStores` for one process, `createRedisStores` for any number. */
  stores: Stores
}

/**
 * Options of `mcpService` if clients log in at another authorization server. This service only verifies its tokens:
 * JWTs (RFC 9068), or opaque tokens by introspection (RFC 7662).
 * @example
 * ```ts
 * import { createMemoryStores, type ResourceServerModeOptions } from 'fastify-mcp-oauth'
 * import { createServer } from './server.js'
 *
 * export const options: ResourceServerModeOptions = {
 *   publicUrl: 'https://mcp.example.com',
 *   createServer,
 *   stores: createMemoryStores({ sessionIdleSeconds: 3600 }),
 *   auth: { mode: 'resource-server', issuer: 'https://login.example.com', audiences: ['https://api.example.com'] }
 * }
 * ```
 */
export interface ResourceServerModeOptions extends CommonOptions {
  /** Who issues the tokens, and how they are verified. */
  auth: { mode: 'resource-server' } & Omit<ResourceServerOptions, 'audiences'> & {
    /** What tokens' `aud` may name, besides the URLs of the MCP endpoints. */
    audiences?: readonly string[]
  }
  /**
   * What is kept of sessions: `createMemoryStores` or `createSqliteStores` for one process, `createRedisStores` for any
   * number.
   */
  stores: SessionStores
}

/**
 * Options of `mcpService` if the app around it verifies the tokens.
 * @example
 * ```ts
 * import { createMemoryStores, type HostAuthModeOptions } from 'fastify-mcp-oauth'
 * import { createServer } from './server.js'
 * import { verifyAccessToken } from './tokens.js'
 *
 * export const options: HostAuthModeOptions = {
 *   publicUrl: 'https://mcp.example.com',
 *   createServer,
 *   stores: createMemoryStores({ sessionIdleSeconds: 3600 }),
 *   auth: { mode: 'host', verifyAccessToken, authorizationServers: ['https://login.example.com'] }
 * }
 * ```
 */
export interface HostAuthModeOptions extends CommonOptions {
  /** How your own tokens are verified, and who issues them. */
  auth: {
    mode: 'host'
    verifyAccessToken: VerifyAccessToken
    /** Issuers of the tokens, for the protected resource metadata. */
    authorizationServers: readonly string[]
  }
  /**
   * What is kept of sessions: `createMemoryStores` or `createSqliteStores` for one process, `createRedisStores` for any
   * number.
   */
  stores: SessionStores
}

/**
 * Options of the `mcpService` plugin: those of one of its three modes, by `auth.mode`.
 * @example
 * ```ts
 * import Fastify, { type FastifyInstance } from 'fastify'
 * import { mcpService, type McpServiceOptions } from 'fastify-mcp-oauth'
 *
 * export async function buildApp (options: McpServiceOptions): Promise<FastifyInstance> {
 *   const app = Fastify({ logger: true })
 *   await app.register(mcpService, options)
 *   return app
 * }
 * ```
 */
export type McpServiceOptions =
  | BrokerModeOptions
  | ResourceServerModeOptions
  | HostAuthModeOptions
  | SeveralServersOptions

type Several<T> = Omit<T, 'createServer' | 'servers'> & { createServer?: undefined, servers: HostedServersOption }

/**
 * Several MCP servers, by their names: each at its own path, a resource of its own (RFC 8707), with one login for all.
 * @example
 * ```ts
 * import type { HostedServersOption } from 'fastify-mcp-oauth'
 * import { createServer } from './server.js'
 *
 * export const servers: HostedServersOption = {
 *   notes: { createServer, scopes: ['notes'] },
 *   archive: { createServer, scopes: ['archive'], path: '/old/notes', policy: { login: { groups: ['staff'] } } }
 * }
 * ```
 */
export type HostedServersOption = Readonly<Record<string, HostedServerOptions>>

/**
 * Options of `mcpService` with several MCP servers: those of any mode, with `servers` in the place of `createServer`.
 * What the service has of `scopes`, `policy`, `limits`, `reuseInstances` and `maySubscribe` is for the servers that
 * have none of their own; its `policy` also says which clients may register.
 * @example
 * ```ts
 * import { createMemoryStores, type SeveralServersOptions } from 'fastify-mcp-oauth'
 * import { createServer } from './server.js'
 *
 * // https://mcp.example.com/notes/mcp and https://mcp.example.com/archive/mcp
 * export const options: SeveralServersOptions = {
 *   publicUrl: 'https://mcp.example.com',
 *   servers: { notes: { createServer, scopes: ['notes'] }, archive: { createServer, scopes: ['archive'] } },
 *   stores: createMemoryStores({ sessionIdleSeconds: 3600 }),
 *   upstream: { issuerUrl: 'https://login.example.com', scopes: ['openid', 'offline_access'] }
 * }
 * ```
 */
export type SeveralServersOptions =
  | Several<BrokerModeOptions>
  | Several<ResourceServerModeOptions>
  | Several<HostAuthModeOptions>

/** What clients log in to this service for: one server, or several. */
export type BrokeredOptions = BrokerModeOptions | Several<BrokerModeOptions>

/**
 * Options of the `mcpDiscovery` plugin: some of those that the service has.
 * @example
 * ```ts
 * import type { McpDiscoveryOptions } from 'fastify-mcp-oauth'
 *
 * export const discovery: McpDiscoveryOptions = {
 *   publicUrl: 'https://example.com',
 *   servicePrefix: '/ai',
 *   scopes: ['notes:read', 'notes:write'],
 *   forOrigin: false
 * }
 * ```
 */
export interface McpDiscoveryOptions
  extends Pick<CommonOptions, 'publicUrl' | 'scopes' | 'sessionMode' | 'policy'> {
  /** Those of the service, if it has several. */
  servers?: HostedServersOption | undefined
  /** The prefix that the service is registered with. */
  servicePrefix: string
  /** That of the service. */
  auth?: McpServiceOptions['auth']
  /** That of the service. Default: true. */
  clientMetadataDocuments?: boolean
  /**
   * Whether the documents without any path (`/.well-known/oauth-protected-resource`, …), to which clients fall back,
   * are this service's. `false` if they are your own, or another service's. Default: true.
   */
  forOrigin?: boolean
}

/**
 * Options of the `oauthBroker` plugin.
 * @example
 * ```ts
 * import { createMemoryStores, Keyring, type OAuthBrokerOptions } from 'fastify-mcp-oauth'
 *
 * export const options: OAuthBrokerOptions = {
 *   publicUrl: 'https://mcp.example.com',
 *   stores: createMemoryStores({ sessionIdleSeconds: 3600 }),
 *   upstream: { issuerUrl: 'https://login.example.com', scopes: ['openid', 'offline_access'] },
 *   keyring: new Keyring(),
 *   scopes: ['mcp'],
 *   resourcePaths: ['/mcp', '/sse'],
 *   introspectionServices: { reports: 'the secret of the service that makes reports' }
 * }
 * ```
 */
export interface OAuthBrokerOptions extends Omit<BrokerOptions, 'log' | 'issuer' | 'recordAttempts' | 'servers'> {
  /** Paths of the MCP endpoints, from the issuer; the first is the resource of clients that name none. */
  resourcePaths?: readonly [string, ...string[]]
  /** Our scopes; the first is granted to a client that names none. */
  scopes?: readonly [string, ...string[]]
  /**
   * Several MCP servers that share the login, in the place of `resourcePaths` and `scopes`: each is a resource of its
   * own, for which clients get a token of its own (`resource`, RFC 8707).
   */
  protectedServers?: readonly ProtectedServer[]
  /**
   * The URL of the app's root as clients see it, such as `https://mcp.example.com`. With the prefix of this context it
   * is our issuer.
   */
  publicUrl: string
  /** The operator's own services that may introspect tokens: name -> secret. */
  introspectionServices?: Readonly<Record<string, string>>
  /**
   * Shows operators how the last logins went, at `/admin/attempts`. Default: nothing is written down, and there is no
   * such page.
   */
  adminToken?: string
}
