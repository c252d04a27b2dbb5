import Fastify from 'fastify'
import { createSqliteStores, mcpService } from '../../src/index.js'
import { createServer } from '../support/sample-server.js'

/* The service with its state in a file, for the process that kills it. */
const { STATE_FILE: file = '', ISSUER = '', PORT = '', ENCRYPTION_KEYS = '', REUSE_SECONDS = '60' } = process.env
const stores = createSqliteStores({ file, sessionIdleSeconds: 3600 })
// who logs in comes from many addresses
const app = Fastify({ trustProxy: true })
await app.register(mcpService, {
  createServer,
  stores,
  publicUrl: `http://localhost:${PORT}`,
  upstream: { issuerUrl: new URL(ISSUER), scopes: ['openid', 'profile', 'offline_access'] },
  encryptionKeys: ENCRYPTION_KEYS,
  lifetimes: { refreshTokenReuseSeconds: Number(REUSE_SECONDS) }
})
app.get('/ready', async () => { await stores.check() })
await app.listen({ port: Number(PORT), host: '127.0.0.1' })
