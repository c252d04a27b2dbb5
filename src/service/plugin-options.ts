import type { McpTransportsOptions } from '../mcp/options.js'
import type { SessionStores, Stores } from '../stores/stores.js'
import type { ResourceServerOptions } from '../oauth/resource-server/resource-server.js'
import type { VerifyAccessToken } from '../caller.js'
import type { BrokerOptions } from '../oauth/options.js'

interface CommonOptions
  extends Omit<McpTransportsOptions, 'sessions' | 'eventLog' | 'leases' | 'bus' | 'getUpstreamAccessToken'> {
  /** Our scopes; the first is granted to, or asked of, a client that names none. Default: `mcp`. */
  scopes?: readonly [string, ...string[]]
  /**
   * Keys that replicas share: `id:base64url of 32 bytes`, comma-separated. They seal what is kept of upstream tokens,
   * and what clients bring back (`requestState`). Default: a key of this process.
   */
  encryptionKeys?: string
}

/** Clients log in with us, and people at the upstream. */
export interface BrokerModeOptions
  extends CommonOptions, Omit<OAuthBrokerOptions, 'stores' | 'keyring' | 'resourcePaths' | 'scopes' | 'publicUrl'> {
  /** Who issues the tokens: this service. */
  auth?: { mode: 'broker' }
  /** What is kept: `createMemoryStores` for one process, `createRedisStores` for any number. */
  stores: Stores
}

/** Clients log in at an authorization server of their own choice of flow; we only verify its tokens. */
export interface ResourceServerModeOptions extends CommonOptions {
  /** Who issues the tokens, and how they are verified. */
  auth: { mode: 'resource-server' } & Omit<ResourceServerOptions, 'audiences'> & {
    /** What tokens' `aud` may name, besides the URLs of the MCP endpoints. */
    audiences?: readonly string[]
  }
  /** What is kept of sessions: `createMemoryStores` for one process, `createRedisStores` for any number. */
  stores: SessionStores
}

/** The app around verifies the tokens. */
export interface HostAuthModeOptions extends CommonOptions {
  /** How your own tokens are verified, and who issues them. */
  auth: {
    mode: 'host'
    verifyAccessToken: VerifyAccessToken
    /** Issuers of the tokens, for the protected resource metadata. */
    authorizationServers: readonly string[]
  }
  /** What is kept of sessions: `createMemoryStores` for one process, `createRedisStores` for any number. */
  stores: SessionStores
}

/** Options of the `mcpService` plugin. */
export type McpServiceOptions = BrokerModeOptions | ResourceServerModeOptions | HostAuthModeOptions

/** Options of the `mcpDiscovery` plugin: some of those that the service has. */
export interface McpDiscoveryOptions extends Pick<CommonOptions, 'publicUrl' | 'scopes' | 'sessionMode'> {
  /** The prefix that the service is registered with. */
  servicePrefix: string
  /** That of the service. */
  auth?: McpServiceOptions['auth']
  /**
   * Whether the documents without any path (`/.well-known/oauth-protected-resource`, …), to which clients fall back,
   * are this service's. `false` if they are your own, or another service's. Default: true.
   */
  forOrigin?: boolean
}

/** Options of the `oauthBroker` plugin. */
export interface OAuthBrokerOptions extends Omit<BrokerOptions, 'log' | 'issuer' | 'recordAttempts'> {
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
