import type { FastifyInstance, InjectOptions } from 'fastify'

// a line of `printRoutes`: branches, four columns a level, then a part of a path and the verbs it has a route for
const ROUTE = /^([│├└─ ]*)(.*) \(([A-Z, -]+)\)( \{.*\})?$/
const HOOK = /^[│ ]*• \((.+?)\) (.*)$/
const COLUMNS = 4

/** The routes of an app that is ready (`GET /users/:id`), and the hooks of each, by name. */
export function listRoutes (app: FastifyInstance): Map<string, Map<string, string>> {
  const routes = new Map<string, Map<string, string>>()
  const path: string[] = []
  let hooks = new Map<string, string>()
  for (const line of app.printRoutes({ commonPrefix: false, includeHooks: true }).split('\n')) {
    const [, hook, functions] = HOOK.exec(line) ?? []
    if (hook !== undefined && functions !== undefined) hooks.set(`hooks ${hook}`, functions)
    const [, branches, part, methods, constraints = ''] = ROUTE.exec(line) ?? []
    if (branches === undefined || part === undefined || methods === undefined) continue
    path.splice(branches.length / COLUMNS - 1, Infinity, part)
    hooks = new Map([['route', 'present']])
    for (const method of methods.split(', ')) routes.set(`route ${method} ${path.join('')}${constraints}`, hooks)
  }
  return routes
}

/** Harmless requests to routes as `listRoutes` names them. */
export function routeProbes (routes: readonly string[]): InjectOptions[] {
  return routes.flatMap((route): InjectOptions[] => {
    const [, method = '', path = ''] = /^route ([A-Z-]+) (\S+)$/.exec(route) ?? []
    const url = path.replace(/:[^/]+|\*/g, 'x')
    if (url.startsWith('/assert-pluggable')) return []
    switch (method) {
      case 'GET':
        return [{ url, headers: { origin: 'https://a-site.example' } }, preflight(url, 'GET')]
      case 'POST':
      case 'PUT':
      case 'PATCH':
        return [
          { method, url, headers: { 'content-type': 'application/json' }, payload: '{' },
          { method, url, headers: { 'content-type': 'application/vnd.assert-pluggable' }, payload: 'x' },
          preflight(url, method)
        ]
      case 'DELETE':
        return [preflight(url, method)]
      default:
        return []
    }
  })
}

function preflight (url: string, method: string): InjectOptions {
  return {
    method: 'OPTIONS',
    url,
    headers: { origin: 'https://a-site.example', 'access-control-request-method': method }
  }
}
