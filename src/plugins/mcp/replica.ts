import fp from 'fastify-plugin'
import { Replica } from '../../mcp/replica.js'
import type { Bus } from '../../stores/bus.js'
import type { LeaseStore } from '../../stores/leases.js'
import type { TaskRecords } from '../../stores/tasks/records.js'
import { taskRuns } from '../../stores/tasks/runs.js'

declare module 'fastify' {
  interface FastifyInstance {
    /** This process among its replicas. */
    mcpReplica: Replica
  }
}

export interface McpReplicaOptions {
  leases: LeaseStore
  bus: Bus
  /** Tasks of the hosted server, as far as it keeps them in the stores of the service. */
  tasks?: TaskRecords | undefined
}

/** Makes this process known to its replicas until the app closes. */
export const mcpReplica = fp<McpReplicaOptions>(async (app, { leases, bus, tasks }) => {
  const replica = new Replica({ leases, bus, log: app.log })
  app.decorate('mcpReplica', replica)
  taskRuns.open(replica, tasks)
  app.addHook('onClose', async () => {
    await taskRuns.close(replica)
    await replica.close()
  })
}, { name: 'fastify-mcp-oauth/mcp-replica', fastify: '5.x' })
