import { buildApp } from '../../src/app.js'
import { loadConfig } from '../../src/config.js'
import { createServer } from '../conformance/fixture-server.js'

/* A replica of the service that hosts the conformance fixture. */
const config = loadConfig(process.env, { dotenv: false })
const app = await buildApp(config, { createServer })
process.once('SIGTERM', () => { void app.close() })
await app.listen({ port: config.port, host: '127.0.0.1' })
