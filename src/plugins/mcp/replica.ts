import fp from 'fastify-plugin'
import { Replica } from '../../mcp/replica.js'
import type { Bus } from '../../stores/bus.js'
import type { LeaseStore } from '../../stores/leases.js'

declare module 'fastify' {
  interface FastifyInstance {
    /** This process among its replicas. */
    mcpReplica: Replica
  }
}

export interface McpReplicaOptions {
  leases: LeaseStore
  bus: Bus
}

/** Makes this process known to its replicas until the app closes. */
export const mcpReplica = fp<McpReplicaOptions>(async (app, { leases, bus }) => {
  const replica = new Replica({ leases, bus, log: app.log })
  app.decorate('mcpReplica', replica)
  app.addHook('onClose', () => replica.close())
}, { name: 'fastify-mcp-oauth/mcp-replica', fastify: '5.x' })
