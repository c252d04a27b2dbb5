import { redisContracts } from './redis-contracts.js'
import { redisClusterTest } from './redis-server.js'

redisClusterTest('every contract over a Redis Cluster of three nodes, by two replicas', async (t, [server]) => {
  if (server === undefined) throw new Error('There is no node.')
  await redisContracts(t, server, true)
})
