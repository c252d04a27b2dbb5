import fp from 'fastify-plugin'
import { StatelessRequests, type StatelessRequestsOptions } from '../../mcp/sessionless/sessionless-requests.js'

declare module 'fastify' {
  interface FastifyInstance {
    /** The requests that run, where MCP is served without sessions. */
    mcpStateless: StatelessRequests
  }
}

/** Requests without sessions. */
export const mcpStateless = fp<Omit<StatelessRequestsOptions, 'log'>>(async (app, options) => {
  app.decorate('mcpStateless', new StatelessRequests({ ...options, log: app.log }))
}, { name: 'mcp-stateless', fastify: '5.x' })
