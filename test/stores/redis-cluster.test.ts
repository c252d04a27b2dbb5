import { buildApp } from '../../src/app.js'
import { loadConfig } from '../../src/config/config.js'
import { firstEventId } from '../../src/stores/event-log.js'
import { valueAt } from '../support/json.js'
import { redisContracts } from './redis-contracts.js'
import { createServer } from '../support/sample-server.js'
import { QUIET } from '../support/service.js'
import { reachable, redisClusterTest, redisReplicas } from '../support/redis-server.js'

redisClusterTest('a Redis Cluster of three nodes', async (t, servers) => {
  const [server] = servers
  if (server === undefined) throw new Error('There is no node.')
  await t.test('the service, configured with any node of it', async t => {
    for (const { url } of servers) {
      const app = await buildApp(loadConfig({
        ...QUIET,
        REDIS_URL: url,
        REDIS_CLUSTER: 'true',
        REDIS_KEY_PREFIX: 'service',
        ENCRYPTION_KEYS: `a:${Buffer.alloc(32, 1).toString('base64url')}`,
        OAUTH_ISSUER_URL: 'https://login.example'
      }, { dotenv: false }), { createServer })
      t.teardown(() => app.close())
      while (valueAt((await app.inject('/readyz')).json(), 'checks', 'store') !== 'ok') continue
      // registrations stand on one node: two of the three lead to another
      const { statusCode } = await app.inject({
        method: 'POST',
        url: '/register',
        payload: { redirect_uris: ['https://client.example/callback'] }
      })
      t.equal(statusCode, 201)
    }
  })
  await t.test('who listens at a node that is gone listens at another', async t => {
    const gone = servers.at(-1)
    if (gone === undefined) throw new Error('There is no fourth node.')
    const [first, second] = await redisReplicas(t, gone, { cluster: true })
    await gone.stop()
    for (const stores of [first, second]) if (stores !== undefined) await reachable(stores)
    await first?.eventLog.open('session', 'stream', {})
    const read = new Promise<string>(resolve => {
      void first?.eventLog.follow('session', 'stream', firstEventId('stream'), {
        onEvent: ({ data }) => {
          resolve(data)
        },
        onEnd () {}
      })
    })
    await second?.eventLog.append('session', 'stream', [{ data: 'x' }])
    t.equal(await read, 'x')
  })
  await t.test('every contract, kept by two replicas', t => redisContracts(t, server, true))
})
