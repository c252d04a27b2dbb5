import Fastify, { type FastifyInstance } from 'fastify'
import { createMemoryStores, mcpService } from 'fastify-mcp-oauth'
import { serverFor } from './server.js'

export interface AppOptions {
  /** The URL of this app as clients see it. */
  publicUrl: string
  /** Issuer of the authorization server where people log in. */
  issuer: string
}

export async function buildApp ({ publicUrl, issuer }: AppOptions): Promise<FastifyInstance> {
  const app = Fastify({ logger: { level: 'warn' }, forceCloseConnections: true })
  const stores = createMemoryStores({ sessionIdleSeconds: 3600 })
  app.addHook('onClose', () => stores.close())
  await app.register(mcpService, {
    publicUrl,
    // the userinfo endpoint is an API that every OpenID provider has; yours asks for scopes of its own, below
    createServer: serverFor(new URL('/me', issuer)),
    stores,
    upstream: { issuerUrl: new URL(issuer), scopes: ['openid', 'profile', 'email', 'offline_access'] }
  })
  return app
}
