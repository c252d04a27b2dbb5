import closeWithGrace from 'close-with-grace'
import { buildApp } from '../../src/app.js'
import { loadConfig } from '../../src/config/config.js'
import { countingServer } from './counting-server.js'

/*
 * A replica of the service, closed as the service closes itself, that hosts the counting server. RUNS_FILE: where it
 * leaves its marks.
 */
const config = loadConfig(process.env, { dotenv: false })
const app = await buildApp(config, { createServer: countingServer(process.env.RUNS_FILE ?? '') })
closeWithGrace({ delay: (config.shutdownSeconds + 15) * 1000, logger: app.log }, async ({ err }) => {
  if (err !== undefined) app.log.fatal({ err }, 'closing after an uncaught error')
  await app.leave()
  await app.close()
})
await app.listen({ port: config.port, host: '127.0.0.1' })
