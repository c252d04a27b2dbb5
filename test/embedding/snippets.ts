import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js'
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import {
  bearerAuth,
  createMemoryStores,
  InvalidTokenError,
  Keyring,
  mcpDiscovery,
  mcpService,
  mcpServiceParts,
  mcpTransports,
  Metrics,
  oauthBroker,
  Policy,
  remoteServer,
  requireScopes,
  stdioServer,
  type BrokerModeOptions,
  type CreateServer,
  type Stores,
  type UpstreamOptions
} from 'fastify-mcp-oauth'
import { startDemoLogin } from 'fastify-mcp-oauth/demo'
import { assertPluggable } from 'fastify-mcp-oauth/testing'

/*
 * The code on pages of docs/, by the name that stands above it there. A test holds the two together, and runs each.
 */

/** What the snippets speak of. */
export interface Around {
  publicUrl: string
  createServer: CreateServer
  stores: Stores
  options: BrokerModeOptions
  upstream: UpstreamOptions
  encryptionKeys: string | undefined
  sessions: { userOf (token: string): Promise<{ id: string, clientId: string } | undefined> }
  requireLogin (request: FastifyRequest, reply: FastifyReply): Promise<void>
}

export const snippets: Record<string, (app: FastifyInstance, around: Around) => Promise<void>> = {
  register: async (app, { createServer }) => {
    const stores = createMemoryStores({ sessionIdleSeconds: 3600 })
    app.addHook('onClose', () => stores.close())

    await app.register(mcpService, {
      publicUrl: 'https://example.com',
      createServer,
      stores,
      upstream: { issuerUrl: new URL('https://login.example.com'), scopes: ['openid', 'offline_access'] }
    })
  },
  demo: async (app, { options }) => {
    const login = await startDemoLogin()
    app.addHook('onClose', () => login.close())
    await app.register(mcpService, { ...options, upstream: login.options })
  },
  stdio: async (app, { options }) => {
    const createServer = stdioServer({
      command: 'npx',
      args: ['--yes', '@modelcontextprotocol/server-memory'],
      cwd: '/var/lib/memory/${personId}',
      env: { MEMORY_FILE_PATH: '/var/lib/memory/${personId}/memory.json' }
    })
    await app.register(mcpService, { ...options, createServer })
  },
  prefix: async (app, { options }) => {
    await app.register(mcpService, { ...options, prefix: '/ai' })
    await app.register(mcpDiscovery, { ...options, servicePrefix: '/ai' })
  },
  remote: async (app, { options }) => {
    const createServer = remoteServer({
      url: 'http://localhost:8000/mcp',
      headers: { 'x-api-key': process.env.CALENDAR_KEY ?? '' }
    })
    await app.register(mcpService, { ...options, createServer })
  },
  policy: async (app, { options }) => {
    const policy = new Policy({ login: { emailDomains: ['example.com'], groups: ['mcp-users'] } })
    await app.register(mcpService, { ...options, policy })
    // later: at once for calls, at the next refresh for logins
    policy.replace({ login: { emailDomains: ['example.com'] } })
  },
  endGrants: async (app, { options }) => {
    await app.register(mcpServiceParts, options)
    await app.oauthBroker.endGrantsOf({ issuer: 'https://login.example.com', subject: 'alice' })
  },
  exempt: async (app, { requireLogin }) => {
    app.addHook('onRequest', async (request, reply) => {
      const { url = '' } = request.routeOptions
      if (url.startsWith('/ai/') || url.startsWith('/.well-known/')) return
      await requireLogin(request, reply)
    })
  },
  parts: async (app, { options }) => {
    await app.register(async ai => {
      await ai.register(mcpServiceParts, options)
      ai.get('/me', { onRequest: ai.bearerAuth }, async request => ({ subject: request.authInfo?.extra.subject }))
      ai.get('/sessions', async () => ai.mcpSessions.counts)
    }, { prefix: '/ai' })
  },
  host: async (app, { publicUrl, createServer, stores, sessions }) => {
    await app.register(mcpService, {
      publicUrl,
      createServer,
      stores,
      auth: {
        mode: 'host',
        authorizationServers: ['https://login.example.com'],
        verifyAccessToken: async token => {
          const user = await sessions.userOf(token)
          if (user === undefined) throw new InvalidTokenError('The access token is unknown.')
          return {
            token,
            clientId: user.clientId,
            scopes: ['mcp'],
            extra: { issuer: 'https://login.example.com', subject: user.id }
          }
        }
      }
    })
  },
  each: async (app, { publicUrl, createServer, stores, upstream, encryptionKeys }) => {
    await app.register(async ai => {
      await ai.register(oauthBroker, {
        publicUrl,
        stores,
        upstream,
        keyring: new Keyring(encryptionKeys),
        scopes: ['mcp'],
        resourcePaths: ['/mcp', '/sse']
      })
      await ai.register(bearerAuth, {
        verifyAccessToken: token => ai.oauthBroker.accessTokens.verify(token),
        resourceMetadataUrl: () => `${publicUrl}/ai/.well-known/oauth-protected-resource/mcp`,
        scopes: ['mcp']
      })
      await ai.register(mcpTransports, {
        publicUrl,
        createServer,
        ...stores,
        getUpstreamAccessToken: caller => ai.oauthBroker.getUpstreamAccessToken(caller)
      })
    }, { prefix: '/ai' })
  },
  scopes: async () => {
    const server = new McpServer({ name: 'divider', version: '1.0.0' })
    requireScopes(server, { divide: ['math:divide'] })
  },
  several: async (app, { options, createServer }) => {
    const { createServer: _, ...others } = options
    await app.register(mcpService, {
      ...others,
      servers: {
        notes: { createServer, title: 'Our notes', scopes: ['notes'] },
        archive: { createServer, path: '/old/notes', scopes: ['archive'], policy: { login: { groups: ['staff'] } } }
      }
    })
  },
  metrics: async (app, { options }) => {
    const metrics = new Metrics() // or new Metrics(yourRegistry)
    await app.register(mcpService, {
      ...options,
      mcpObserver: metrics.mcpObserver,
      observers: [metrics.brokerObserver],
      upstreamObserver: metrics.upstreamObserver
    })
    app.get(
      '/metrics',
      async (_request, reply) => reply.type(metrics.registry.contentType).send(await metrics.registry.metrics())
    )
  },
  pluggable: async (_app, { options }) => {
    const buildMyApp = () => {
      const app = Fastify()
      app.get('/orders', async () => [])
      app.post('/login', async () => 'welcome')
      return app
    }
    await assertPluggable({
      createHost: buildMyApp,
      plug: app => app.register(mcpService, { ...options, prefix: '/ai' }),
      probes: ['/orders', { method: 'POST', url: '/login', payload: { email: 'alice@example.com' } }]
    })
  }
}
