import fp from 'fastify-plugin'

declare module 'fastify' {
  interface FastifyRequest {
    /** Name of the MCP server that it is to, if there are several. */
    mcpServer?: string
  }
}

/** Has every log line of this context, and of its requests, say which of several servers it is about. */
export const serverName = fp<{ name: string }>(async (app, { name }) => {
  app.log = app.log.child({ server: name })
  app.setChildLoggerFactory((logger, bindings, options) => logger.child({ ...bindings, server: name }, options))
  app.decorateRequest('mcpServer', name)
}, { name: 'fastify-mcp-oauth/server-name', fastify: '5.x' })
