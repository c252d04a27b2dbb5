import fp from 'fastify-plugin'
import { StatelessRequests, type StatelessRequestsOptions } from '../mcp/stateless.js'

declare module 'fastify' {
  interface FastifyInstance {
    /** The requests that run, where MCP is served without sessions. */
    mcpStateless: StatelessRequests
  }
}

export type McpStatelessOptions = Omit<StatelessRequestsOptions, 'log'> & {
  /** Time that calls in flight get to finish when the app closes. */
  drainSeconds: number
}

/** Requests without sessions. Those still running end in `preClose`: open ones would hang the closing. */
export const mcpStateless = fp<McpStatelessOptions>(async (app, { drainSeconds, ...options }) => {
  const requests = new StatelessRequests({ ...options, log: app.log })
  app.decorate('mcpStateless', requests)
  app.addHook('preClose', async () => {
    await requests.drain(drainSeconds * 1000)
    requests.close()
  })
}, { name: 'mcp-stateless', fastify: '5.x' })
