import { newEncryptionKeys } from '../attacks/eras.js'
import { redisReplicas, redisTest } from '../support/redis-server.js'
import { checkGivenOut } from './given-out-uses.js'
import { startTwo } from './two-servers.js'

/* What one replica has given out for one server, at the other server of the same replica and of another. */
for (const [sessions, keepsSessions] of [['any replica serves', false], ['run at one replica', true]] as const) {
  redisTest(`sessions that ${sessions}`, async (t, server) => {
    const how = { encryptionKeys: newEncryptionKeys(), policy: { public: { tools: ['state'] } }, keepsSessions }
    const [one, two] = await redisReplicas(t, server)
    if (one === undefined || two === undefined) throw new Error('no stores')
    await checkGivenOut(t, [await startTwo(t, one, how), await startTwo(t, two, how)])
  })
}
