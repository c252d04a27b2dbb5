import { redisContracts } from './redis-contracts.js'
import { redisTest } from '../support/redis-server.js'

redisTest('every contract over Redis, by two replicas', async (t, server) => {
  await redisContracts(t, server)
})
