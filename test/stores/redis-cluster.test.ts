import { buildApp } from '../../src/app.js'
import { loadConfig } from '../../src/config.js'
import { redisContracts } from './redis-contracts.js'
import { redisClusterTest } from './redis-server.js'

redisClusterTest('a Redis Cluster of three nodes', async (t, servers) => {
  const [server] = servers
  if (server === undefined) throw new Error('There is no node.')
  await t.test('the service, configured with any node of it', async t => {
    for (const { url } of servers) {
      const app = await buildApp(loadConfig({
        REDIS_URL: url,
        REDIS_CLUSTER: 'true',
        REDIS_KEY_PREFIX: 'service',
        LOG_LEVEL: 'silent',
        ENCRYPTION_KEYS: `a:${Buffer.alloc(32, 1).toString('base64url')}`,
        OAUTH_ISSUER_URL: 'https://login.example'
      }, { dotenv: false }))
      t.teardown(() => app.close())
      while ((await app.inject('/readyz')).json().checks.store !== 'ok') continue
      // registrations stand on one node: two of the three lead to another
      const { statusCode } = await app.inject({ method: 'POST', url: '/register', payload: { redirect_uris: ['https://client.example/callback'] } })
      t.equal(statusCode, 201)
    }
  })
  await t.test('every contract, kept by two replicas', t => redisContracts(t, server, true))
})
