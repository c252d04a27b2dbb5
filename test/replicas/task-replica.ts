import closeWithGrace from 'close-with-grace'
import { buildApp } from '../../src/app.js'
import { loadConfig } from '../../src/config/config.js'
import { createRedisStores } from '../../src/stores/redis/stores.js'
import { FeatureServer } from '../mcp/feature-server.js'

/* A replica of the service, closed as the service closes itself, whose server makes tasks that never end, or ask. */
const config = loadConfig(process.env, { dotenv: false })
// as a server does that is not given those of the service
const stores = createRedisStores({ url: process.env.REDIS_URL ?? '', sessionIdleSeconds: 3600 })
const features = new FeatureServer(stores)
if (process.env.TASKS_ASK === undefined) features.thinking = new Promise(() => {})
const app = await buildApp(config, { createServer: features.createServer })
closeWithGrace({ delay: (config.shutdownSeconds + 15) * 1000, logger: app.log }, async () => {
  await app.leave()
  await app.close()
  await stores.close()
})
await app.listen({ port: config.port, host: '127.0.0.1' })
