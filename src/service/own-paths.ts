import type { IncomingHttpHeaders } from 'node:http'

interface RawRequest {
  method?: string | undefined
  url?: string | undefined
  headers: IncomingHttpHeaders
}

const WELL_KNOWN = '/.well-known/'

/**
 * Makes the URLs of a service that has an app of its own into those of its routes, for Fastify's `rewriteUrl`:
 *
 * - If the public URL has a path, a proxy in front may pass it on or remove it. The metadata also has the path after
 *   `/.well-known/<name>` (RFC 8414 3.1, RFC 9728 3.1).
 * - The public URL itself is an MCP endpoint for the clients of people who entered that: everything but the page that
 *   browsers get there. Not with several servers: nobody knows which one is meant.
 */
export function ownPaths (
  publicUrl: string,
  mode: 'stateful' | 'stateless' | 'several servers'
): (request: RawRequest) => string {
  const base = new URL(publicUrl).pathname.replace(/\/$/, '')
  return request => {
    const url = request.url ?? '/'
    const [path = '', query = ''] = url.split(/(?=[?#;])(.*)/s, 2)
    const own = withoutBase(path, base)
    if (own !== '/' || mode === 'several servers') return own === path ? url : own + query
    return endpointAtBase(request, mode) + query
  }
}

/** Whether a request, by the URL that it came with, is to the public URL itself. @param baseUrl of the service */
export function isAtBase (originalUrl: string, baseUrl: string): boolean {
  const path = originalUrl.replace(/[?#;].*$/s, '').replace(/\/$/, '')
  return path === '' || path === new URL(baseUrl).pathname.replace(/\/$/, '')
}

function withoutBase (path: string, base: string): string {
  if (base === '') return path
  if (path === base) return '/'
  if (path.startsWith(`${base}/`)) return path.slice(base.length)
  if (!path.startsWith(WELL_KNOWN)) return path
  // /.well-known/<name><base><rest>
  const [, name = '', rest = ''] = /^([^/]*)(\/.*)?$/s.exec(path.slice(WELL_KNOWN.length)) ?? []
  if (rest !== base && !rest.startsWith(`${base}/`)) return path
  return WELL_KNOWN + name + rest.slice(base.length)
}

/** The route that serves a request to the public URL itself. */
function endpointAtBase ({ method, headers }: RawRequest, sessionMode: 'stateful' | 'stateless'): string {
  if (method === 'HEAD') return '/'
  if (method !== 'GET') return '/mcp'
  if (headers['mcp-session-id'] !== undefined) return '/mcp'
  // browsers name no stream, but those that read one do
  if (!/\btext\/event-stream\b/i.test(headers.accept ?? '')) return '/'
  // a client of HTTP+SSE begins so, and has no session yet
  return sessionMode === 'stateful' ? '/sse' : '/mcp'
}
