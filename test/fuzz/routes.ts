/** What a path promises of its responses. */
export type RouteKind = 'mcp' | 'oauth' | 'page' | 'json' | 'text'

/** A path of the service, and the methods that it has. */
export interface FuzzedRoute {
  path: string
  methods: readonly string[]
  kind: RouteKind
}

const document = (name: string) =>
  ['', '/mcp', '/sse'].flatMap(path => [`/.well-known/${name}${path}`, `${path}/.well-known/${name}`])
const get = ['GET', 'HEAD']

/** Every path of the service with sessions and a broker; a test compares it with what the app has. */
export const ROUTES: readonly FuzzedRoute[] = [
  { path: '/mcp', methods: ['POST', 'GET', 'DELETE'], kind: 'mcp' },
  { path: '/sse', methods: ['GET'], kind: 'mcp' },
  { path: '/messages', methods: ['POST'], kind: 'mcp' },
  { path: '/authorize', methods: ['GET', 'POST'], kind: 'page' },
  { path: '/authorize/consent', methods: ['POST'], kind: 'page' },
  { path: '/oauth/callback', methods: ['GET'], kind: 'page' },
  { path: '/oauth/connections', methods: ['GET'], kind: 'page' },
  { path: '/oauth/connections/login', methods: ['GET'], kind: 'page' },
  { path: '/oauth/connections/callback', methods: ['GET'], kind: 'page' },
  { path: '/oauth/connections/end', methods: ['POST'], kind: 'page' },
  { path: '/oauth/connections/logout', methods: ['POST'], kind: 'page' },
  { path: '/admin/attempts', methods: ['GET'], kind: 'page' },
  { path: '/', methods: get, kind: 'page' },
  { path: '/token', methods: ['POST'], kind: 'oauth' },
  { path: '/register', methods: ['POST'], kind: 'oauth' },
  { path: '/revoke', methods: ['POST'], kind: 'oauth' },
  { path: '/introspect', methods: ['POST'], kind: 'oauth' },
  { path: '/healthz', methods: get, kind: 'json' },
  { path: '/readyz', methods: get, kind: 'json' },
  { path: '/openapi.json', methods: get, kind: 'json' },
  { path: '/metrics', methods: get, kind: 'text' },
  { path: '/.well-known/jwks.json', methods: get, kind: 'json' },
  ...['oauth-protected-resource', 'oauth-authorization-server', 'openid-configuration'].flatMap(name =>
    [...new Set(document(name))].map((path): FuzzedRoute => ({ path, methods: get, kind: 'json' }))
  )
]

const byPath = new Map(ROUTES.map(route => [route.path, route]))

interface Requested {
  method: string
  target: string
  headers: ReadonlyArray<readonly [string, string]>
}

/** The route that a request leads to, as far as it is plain. */
export function routeOf ({ method, target, headers }: Requested): FuzzedRoute | undefined {
  const path = target.replace(/[?#;].*/s, '').replace(/([^/])\/$/, '$1')
  // the origin itself is an MCP endpoint for all but browsers that look for a page
  if (path !== '/' || method === 'HEAD') return byPath.get(path)
  const names = headers.map(([name]) => name.toLowerCase())
  if (method !== 'GET' || names.includes('mcp-session-id')) return byPath.get('/mcp')
  return byPath.get(/text\/event-stream/i.test(JSON.stringify(headers)) ? '/sse' : '/')
}
