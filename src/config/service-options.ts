import type { Config } from './config.js'
import type { Policy } from '../policy/policy.js'
import type { UpstreamConfig } from './upstream.js'
import { ConfigError } from '../errors.js'
import { checkClients } from '../service/option-checks/check-broker.js'
import type { HostedServersOption, McpServiceOptions } from '../service/plugin-options.js'
import type { CreateServer } from '../mcp/create-server.js'
import { observeTogether } from '../mcp/observer.js'
import type { StreamOptions } from '../mcp/options.js'
import { mcpTracing } from '../observability/mcp-tracing.js'
import type { Metrics } from '../observability/metrics.js'
import type { BrokerLifetimes, UpstreamOptions } from '../oauth/options.js'
import { Keyring } from '../oauth/keyring.js'
import type { ResourceServerOptions } from '../oauth/resource-server/resource-server.js'
import { proxiedFetch } from '../outbound/proxied-fetch.js'
import { Proxy } from '../outbound/proxy.js'
import type { Stores } from '../stores/stores.js'

/**
 * Checks what only the service knows the rules of, before anything is opened.
 * @throws {ConfigError} with one line that names the variable
 */
export function checkConfig ({ preregisteredClients, redirectSchemes, encryptionKeys, local }: Config): void {
  checkClients('PREREGISTERED_CLIENTS', preregisteredClients, redirectSchemes, local)
  if (encryptionKeys !== undefined && !Keyring.canParse(encryptionKeys)) {
    throw new ConfigError(
      'ENCRYPTION_KEYS is not valid; it takes id:base64url of 32 bytes, comma-separated, each id once.'
    )
  }
}

export type ServiceParts = {
  upstream: UpstreamConfig & Pick<UpstreamOptions, 'fetch'>
  stores: Stores
  metrics: Metrics
  policy?: Policy | undefined
} & ({ createServer: CreateServer } | { servers: HostedServersOption })

/**
 * The configuration as the options of `mcpService`.
 * @throws {ConfigError}
 */
export function serviceOptions (
  config: Config,
  { upstream, stores, metrics, policy, ...hosted }: ServiceParts
): McpServiceOptions {
  const { mcpObserver, brokerObserver, upstreamObserver, onAuditEvents } = metrics
  const common = {
    ...hosted,
    stores,
    mcpObserver: config.tracing ? observeTogether([mcpTracing, mcpObserver]) : mcpObserver,
    publicUrl: config.publicUrl,
    ...config.audit && { audit: { ...config.audit, onEvents: onAuditEvents } },
    ...config.encryptionKeys !== undefined && { encryptionKeys: config.encryptionKeys },
    scopes: config.mcpScopes,
    ...policy && { policy },
    allowedOrigins: config.allowedOrigins,
    allowedHosts: config.allowedHosts,
    maxBodyBytes: config.maxBodyBytes,
    drainSeconds: config.shutdownSeconds,
    sessionMode: config.sessionMode,
    authChallenge: config.authChallenge,
    limits: config.limits,
    streams: toStreams(config)
  }
  if (config.authMode === 'resource-server') {
    return {
      ...common,
      auth: {
        mode: 'resource-server',
        ...resourceServerOptions(config, upstream),
        ...config.proxy && { fetch: proxiedFetch(new Proxy(config.proxy)) },
        ...upstream.fetch && { fetch: upstream.fetch },
        upstreamObserver
      }
    }
  }
  const { issuer, ...brokered } = upstream
  return {
    ...common,
    upstream: brokered,
    observers: [brokerObserver],
    upstreamObserver,
    scopeDescriptions: config.scopeDescriptions,
    consentInDynamicMode: config.consentInDynamicMode,
    ...config.consentDelayMs !== undefined && { consentDelayMs: config.consentDelayMs },
    redirectSchemes: config.redirectSchemes,
    clients: config.preregisteredClients,
    initialAccessTokens: config.initialAccessTokens,
    introspectionServices: config.introspectionServices,
    requestsPerMinute: config.oauthRequestsPerMinute,
    ...config.proxy && { proxy: config.proxy },
    clientMetadataDocuments: config.clientMetadataDocuments,
    allowLoopbackClients: config.local,
    lifetimes: toLifetimes(config),
    ...config.adminToken !== undefined && { adminToken: config.adminToken }
  }
}

function toStreams (config: Config): Partial<StreamOptions> {
  return {
    silenceMs: config.streamAfterMs,
    heartbeatMs: config.streamHeartbeatSeconds * 1000,
    retryMs: config.streamRetryMs
  }
}

function toLifetimes (config: Config): Partial<BrokerLifetimes> {
  return {
    accessTokenSeconds: config.accessTokenTtlSeconds,
    refreshTokenSeconds: config.refreshTokenTtlSeconds,
    refreshTokenReuseSeconds: config.refreshTokenReuseSeconds,
    grantSeconds: config.grantTtlSeconds,
    unusedClientSeconds: config.unusedClientTtlSeconds,
    clientSeconds: config.clientTtlSeconds
  }
}

/**
 * How the tokens of the upstream are verified in the mode resource-server.
 * @throws {ConfigError}
 */
export function resourceServerOptions (
  { audiences, clientsWithoutAudience, strictTokenType, oauthRequestsPerMinute: requestsPerMinute }: Config,
  { issuer, internalUrl, clientId, clientSecret, allowedTenants }: UpstreamConfig
): ResourceServerOptions {
  if (issuer === undefined) throw new ConfigError('OAUTH_ISSUER_URL is not set; AUTH_MODE=resource-server needs it.')
  const introspection = clientId !== undefined && clientSecret !== undefined &&
    { introspection: { clientId, clientSecret } }
  return {
    issuer,
    ...internalUrl && { internalUrl },
    audiences,
    clientsWithoutAudience,
    strictTokenType,
    requestsPerMinute,
    ...allowedTenants && { allowedTenants },
    ...introspection
  }
}
