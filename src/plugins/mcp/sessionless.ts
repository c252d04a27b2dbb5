import fp from 'fastify-plugin'
import type { SessionlessRequestsOptions } from '../../mcp/sessionless/sessionless-request.js'
import { SessionlessRequests } from '../../mcp/sessionless/sessionless-requests.js'

declare module 'fastify' {
  interface FastifyInstance {
    /** The requests that run, where MCP is served without sessions. */
    mcpSessionless: SessionlessRequests
  }
}

/** Requests without sessions. */
export const mcpSessionless = fp<Omit<SessionlessRequestsOptions, 'log'>>(async (app, options) => {
  app.decorate('mcpSessionless', new SessionlessRequests({ ...options, log: app.log }))
}, { name: 'fastify-mcp-oauth/mcp-sessionless', fastify: '5.x' })
