import fp from 'fastify-plugin'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** What the OpenAPI document says about the route. */
    documentation?: FastifySchema
  }
}

/**
 * Takes the schemas of this context's routes for documentation alone. Fastify neither validates nor serializes with
 * them: errors are those of OAuth and JSON-RPC, and a host app's compilers and error formatter must not change them.
 * The routes are hidden from a host app's own `@fastify/swagger` document.
 */
export const routeSchemas = fp(async app => {
  app.addHook('onRoute', route => {
    // hidden already: a HEAD route made from a GET route, or the hook of a context around this one
    if (route.schema?.hide === true) return
    if (route.schema !== undefined) route.config = { ...route.config, documentation: route.schema }
    route.schema = { hide: true }
  })
}, { name: 'fastify-mcp-oauth/route-schemas', fastify: '5.x' })
