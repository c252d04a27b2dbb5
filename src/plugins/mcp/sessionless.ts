import fp from 'fastify-plugin'
import { makeSessionRegistry } from './sessions.js'
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
  const requests = new SessionlessRequests({ ...options, log: app.log })
  app.decorate('mcpSessionless', requests)
  app.decorate('mcpSessions', makeSessionRegistry(requests, options.bus, app.log))
}, { name: 'fastify-mcp-oauth/mcp-sessionless', fastify: '5.x' })
