import type { AuthorizationServerMetadata } from '@modelcontextprotocol/sdk/shared/auth'

/** What a client has found out about where to log in. */
export interface DiscoveredServer {
  mcpUrl: URL
  /** Scope that the challenge named. */
  scope: string | undefined
  issuer: string
  metadata: AuthorizationServerMetadata
}
