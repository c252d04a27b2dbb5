import type { ProxyOptions } from '../../outbound/proxy.js'

/**
 * Limits of the connections to a remote server.
 * @example
 * ```ts
 * import type { RemoteLimits } from 'fastify-mcp-oauth'
 *
 * // its reports are large, and take long
 * export const limits: Partial<RemoteLimits> = { maxMessageBytes: 33_554_432, silenceSeconds: 1800 }
 * ```
 */
export interface RemoteLimits {
  /** Time for the remote server to begin: to respond to `initialize`, or to open an HTTP+SSE stream. Default: 15. */
  connectSeconds: number
  /** Time in which a call must bring something: the response, or any byte of its stream. Default: 300. */
  silenceSeconds: number
  /**
   * How long a connection that nobody uses is kept, with its session at the remote server: that of a session whose
   * client is silent, or of a person who calls without a session. Default: 600.
   */
  idleSeconds: number
  /** Connections of this process that nobody uses; one more ends the one that was used longest ago. Default: 1000. */
  maxIdleConnections: number
  /** Bytes of one message of the remote server, decoded. Default: 16 MiB. */
  maxMessageBytes: number
  /** Requests of the remote server that wait for the client of one connection. Default: 100. */
  maxWaitingRequests: number
}

export const defaultRemoteLimits: RemoteLimits = {
  connectSeconds: 15,
  silenceSeconds: 300,
  idleSeconds: 600,
  maxIdleConnections: 1000,
  maxMessageBytes: 16_777_216,
  maxWaitingRequests: 100
}

/**
 * A token exchange (RFC 8693): the person's access token of the login server becomes one for the remote server.
 * @example
 * ```ts
 * import type { TokenExchangeOptions } from 'fastify-mcp-oauth'
 *
 * export const tokenExchange: TokenExchangeOptions = {
 *   tokenEndpoint: 'https://login.example.com/oauth/token',
 *   audience: 'https://calendar.example.com',
 *   clientId: 'mcp-gateway',
 *   clientSecret: process.env.EXCHANGE_CLIENT_SECRET ?? '',
 *   scope: 'calendar:read'
 * }
 * ```
 */
export interface TokenExchangeOptions {
  /** The token endpoint: https, or http on loopback. */
  tokenEndpoint: string
  /** What the token is for, by its name at the authorization server. */
  audience?: string
  /** What the token is for, by its URL. */
  resource?: string
  /** Our client there. */
  clientId: string
  /** Its secret, sent by HTTP Basic authentication. */
  clientSecret: string
  /** Scopes, separated by spaces. Default: what the authorization server decides. */
  scope?: string
}

/**
 * A remote server, and how it is reached.
 * @example
 * ```ts
 * import type { RemoteServerOptions } from 'fastify-mcp-oauth'
 *
 * export const calendar: RemoteServerOptions = {
 *   url: 'https://calendar.example.com/mcp',
 *   headers: { 'x-api-key': process.env.CALENDAR_KEY ?? '' }
 * }
 * ```
 */
export interface RemoteServerOptions {
  /** The MCP endpoint: http or https. */
  url: string
  /** Headers of every request, such as an API key. They are never logged. */
  headers?: Readonly<Record<string, string>>
  /**
   * Whose access token goes along, as `Authorization: Bearer`: the person's of the login server, or one that it is
   * exchanged for. Default: none. The token that a client calls this service with never goes to the remote server.
   */
  auth?: 'upstream-token' | { tokenExchange: TokenExchangeOptions }
  /**
   * `auto`: Streamable HTTP, and if the server does not take it, HTTP+SSE (MCP 2025-11-25, Transports, Backwards
   * Compatibility). Default: `auto`.
   */
  transport?: 'auto' | 'streamable-http' | 'sse'
  /** The proxy for https URLs that are not on this machine. Default: none. */
  proxy?: ProxyOptions
  /** Limits, in place of the defaults. */
  limits?: Partial<RemoteLimits>
  /** Sends requests, in place of the global `fetch`; `proxy` is then of no use. */
  fetch?: typeof globalThis.fetch
}
