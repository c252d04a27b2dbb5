import type { AuthorizationServerMetadata } from '@modelcontextprotocol/sdk/shared/auth'

/**
 * What a client has found out about where to log in: from the challenge (RFC 9728), and the metadata of the issuer
 * (RFC 8414).
 * @example
 * ```ts
 * import { testClient, type DiscoveredServer } from 'fastify-mcp-oauth/testing'
 * import { buildApp } from './app.js'
 *
 * const { issuer, metadata, scope }: DiscoveredServer = await testClient(await buildApp()).discover()
 * console.log(issuer, metadata.token_endpoint, scope)
 * ```
 */
export interface DiscoveredServer {
  /** The MCP endpoint, as its metadata names it (`resource`). */
  mcpUrl: URL
  /** Scope that the challenge named. */
  scope: string | undefined
  /** The authorization server. */
  issuer: string
  /** What it says of itself (RFC 8414). */
  metadata: AuthorizationServerMetadata
}
