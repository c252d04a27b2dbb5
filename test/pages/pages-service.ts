import Fastify from 'fastify'
import type { Test } from 'tap'
import { startDemoUpstream } from '../../src/demo/upstream.js'
import { Keyring } from '../../src/oauth/keyring.js'
import { oauthBroker } from '../../src/service/oauth-broker.js'
import type { OAuthBrokerOptions } from '../../src/service/plugin-options.js'
import { homeRoute } from '../../src/routes/operations/home.js'
import { createMemoryStores } from '../../src/stores/memory/stores.js'
import { freePort } from '../support/free-port.js'

/** The pages on a free port of loopback, with a demo upstream of its own and a log. */
export interface PagesService {
  /** `http://127.0.0.1:…`, while the upstream is at `http://localhost:…`: to a browser, these are two sites. */
  url: string
  upstreamUrl: string
  /** Lines of the log, oldest first. */
  log: readonly string[]
}

/** Starts the broker and the home page; ends them with the test. */
export async function startPages (t: Test, options: Partial<OAuthBrokerOptions> = {}): Promise<PagesService> {
  const upstream = await startDemoUpstream({ port: 0 })
  t.teardown(() => upstream.close())
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const log: string[] = []
  const stores = createMemoryStores({ sessionIdleSeconds: 60 })
  const app = Fastify({
    logger: {
      level: 'info',
      stream: {
        write: line => {
          log.push(line)
        }
      }
    },
    genReqId: () => crypto.randomUUID(),
    forceCloseConnections: true
  })
  app.addHook('onClose', () => stores.close())
  t.teardown(() => app.close())
  await app.register(homeRoute, { publicUrl: url, connections: true, servers: [{ path: '' }] })
  await app.register(oauthBroker, {
    publicUrl: url,
    stores,
    keyring: new Keyring(undefined),
    upstream: { issuerUrl: new URL(upstream.issuer), scopes: ['openid', 'profile'] },
    scopes: ['mcp', 'files:read'],
    scopeDescriptions: { mcp: 'Use the tools of this server', 'files:read': 'Read your files' },
    resourcePaths: ['/mcp'],
    allowLoopbackClients: true,
    ...options
  })
  await app.listen({ port, host: '127.0.0.1' })
  return { url, upstreamUrl: upstream.issuer, log }
}
