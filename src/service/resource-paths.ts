import type { McpServiceOptions } from './plugin-options.js'

/** Paths of the protected resources (RFC 9728), the first that of Streamable HTTP. */
export function protectedPaths (
  { sessionMode }: Pick<McpServiceOptions, 'sessionMode'>
): readonly [string, ...string[]] {
  return sessionMode === 'stateless' ? ['/mcp'] : ['/mcp', '/sse']
}

/** What the `aud` of a token for the service at `baseUrl` may name. */
export function tokenAudiences (options: Pick<McpServiceOptions, 'sessionMode'>, baseUrl: string): string[] {
  return [...protectedPaths(options).map(path => baseUrl + path), baseUrl]
}
