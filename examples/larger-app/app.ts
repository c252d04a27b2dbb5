import cookie from '@fastify/cookie'
import cors from '@fastify/cors'
import helmet from '@fastify/helmet'
import Fastify, { type FastifyInstance, type FastifyPluginAsync } from 'fastify'
import { createMemoryStores, mcpDiscovery, mcpServiceParts, type BrokerModeOptions } from 'fastify-mcp-oauth'
import { Orders } from './orders.js'
import { emailOf, serverFor } from './server.js'

export interface AppOptions {
  /** The URL of this app as clients see it. */
  publicUrl: string
  /** Issuer of the authorization server where people log in. */
  issuer: string
}

/** A shop that people use with a browser, and with MCP clients under `/ai`. */
export async function buildApp ({ publicUrl, issuer }: AppOptions): Promise<FastifyInstance> {
  const app = Fastify({
    logger: { level: 'warn' },
    forceCloseConnections: true,
    routerOptions: { ignoreTrailingSlash: true }
  })
  const orders = new Orders()
  const stores = createMemoryStores({ sessionIdleSeconds: 3600 })
  app.addHook('onClose', () => stores.close())

  const options: BrokerModeOptions = {
    publicUrl,
    createServer: serverFor(orders),
    stores,
    upstream: { issuerUrl: new URL(issuer), scopes: ['openid', 'profile', 'email', 'offline_access'] },
    // only customers may log in
    authorizeGrant: ({ claims }) =>
      claims.email_verified === true ? { allow: true } : { allow: false, reason: 'Verify your e-mail address first.' }
  }
  await app.register(async ai => {
    await ai.register(mcpServiceParts, options)
    // a route of the shop's own that takes MCP clients' tokens
    ai.get(
      '/orders',
      { onRequest: ai.bearerAuth },
      async ({ authInfo }) => ({ orders: authInfo === null ? [] : orders.of(emailOf(authInfo) ?? '') })
    )
  }, { prefix: '/ai' })
  await app.register(mcpDiscovery, { ...options, servicePrefix: '/ai' })

  // in a context of its own: its hooks are for the shop
  await app.register(shop, { orders })
  return app
}

/** The shop as it was before. */
export const shop: FastifyPluginAsync<{ orders: Orders }> = async (app, { orders }) => {
  await app.register(cors, { origin: 'https://shop.example.com', credentials: true })
  await app.register(helmet)
  await app.register(cookie, { secret: crypto.randomUUID() })
  app.setErrorHandler((error, request, reply) => {
    request.log.error({ err: error })
    return reply.code(500).send({ sorry: 'Something broke.' })
  })
  app.setNotFoundHandler((_request, reply) => reply.code(404).send({ sorry: 'There is no such page.' }))
  app.addHook('onRequest', async (request, reply) => {
    if (request.routeOptions.url === '/login') return
    const login = request.unsignCookie(request.cookies.login ?? '')
    if (!login.valid) return await reply.code(401).send({ sorry: 'Log in first.' })
  })
  app.post<{ Body: { email: string } }>(
    '/login',
    async (request, reply) =>
      await reply.setCookie('login', request.body.email, {
        signed: true,
        httpOnly: true,
        sameSite: 'strict',
        path: '/'
      }).send({ welcome: request.body.email })
  )
  app.get(
    '/orders',
    async request => ({ orders: orders.of(request.unsignCookie(request.cookies.login ?? '').value ?? '') })
  )
}
