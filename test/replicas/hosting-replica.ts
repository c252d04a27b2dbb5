import { buildApp } from '../../src/app.js'
import { loadConfig } from '../../src/config/config.js'
import { hostedNotes } from './hosted-notes.js'

/* A replica of the service that hosts a program, with a process for each session. RESTART: whether it may be lost. */
const config = loadConfig(process.env, { dotenv: false })
const app = await buildApp(config, { createServer: hostedNotes(process.env.RESTART === 'true') })
await app.listen({ port: config.port, host: '127.0.0.1' })
