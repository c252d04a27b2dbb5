import { buildApp } from '../../src/app.js'
import { loadConfig } from '../../src/config/config.js'
import { createServer as createServer1 } from '../conformance/fixture-server.js'
import { createServer as createServer2 } from '../conformance/fixture-server-2.js'

/* A replica of the service that hosts the conformance fixture, of the SDK that FIXTURE_SDK names. */
const config = loadConfig(process.env, { dotenv: false })
const app = await buildApp(config, { createServer: process.env.FIXTURE_SDK === '2' ? createServer2 : createServer1 })
process.once('SIGTERM', () => { void app.leave().then(() => app.close()) })
await app.listen({ port: config.port, host: '127.0.0.1' })
