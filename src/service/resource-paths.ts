import type { McpServiceOptions } from './plugin-options.js'

/** Paths of the endpoints of a server that has sessions, the first that of Streamable HTTP. */
export const MCP_ENDPOINTS = ['/mcp', '/sse', '/messages'] as const

/**
 * Paths of the protected resources (RFC 9728) of a server, the first that of Streamable HTTP.
 * @param path of the server, if there are several
 */
export function protectedPaths (
  { sessionMode }: Pick<McpServiceOptions, 'sessionMode'>,
  path = ''
): readonly [string, ...string[]] {
  return sessionMode === 'stateless' ? [`${path}/mcp`] : [`${path}/mcp`, `${path}/sse`]
}

/** What the `aud` of a token for the server at `baseUrl` may name. */
export function tokenAudiences (
  options: Pick<McpServiceOptions, 'sessionMode'>,
  baseUrl: string,
  path = ''
): string[] {
  return [...protectedPaths(options, path).map(path => baseUrl + path), baseUrl + path]
}
