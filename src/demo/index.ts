import { ConfigError } from '../errors.js'
import type { UpstreamOptions } from '../oauth/options.js'
import { OPENID_SCOPES } from '../oauth/scopes.js'
import { startDemoUpstream } from './upstream.js'

/* A login for trying an app out, from `fastify-mcp-oauth/demo`. */

/**
 * Where a demo login listens, and whether it remembers.
 * @example
 * ```ts
 * import { startDemoLogin, type DemoLoginOptions } from 'fastify-mcp-oauth/demo'
 *
 * // everybody stays logged in when the app starts again
 * const options: DemoLoginOptions = { port: 5051, file: 'demo-login.db' }
 * export const login = await startDemoLogin(options)
 * ```
 */
export interface DemoLoginOptions {
  /** Of loopback. Default: 0, any that is free. */
  port?: number
  /**
   * A file in which it keeps clients, logins and its keys; it needs the same `port` each time, which is part of its
   * issuer. Default: in memory.
   */
  file?: string
}

/**
 * A running demo login.
 * @example
 * ```ts
 * import Fastify from 'fastify'
 * import { createMemoryStores, mcpService } from 'fastify-mcp-oauth'
 * import type { DemoLogin } from 'fastify-mcp-oauth/demo'
 * import { createServer } from './server.js'
 *
 * export async function buildDemo ({ options: upstream }: DemoLogin) {
 *   const stores = createMemoryStores({ sessionIdleSeconds: 3600 })
 *   return Fastify().register(mcpService, { publicUrl: 'http://localhost:5050', createServer, stores, upstream })
 * }
 * ```
 */
export interface DemoLogin {
  /** Its issuer URL, discoverable by RFC 8414 and OpenID Connect. */
  issuer: string
  /** For the `upstream` of `mcpService` and `oauthBroker`. */
  options: UpstreamOptions
  /** Ends every connection and stops listening. */
  close (): Promise<void>
}

/**
 * Starts an authorization server for trying an app out: any name and any password log in, and any client may register.
 * It listens on loopback only. It needs the package `oidc-provider`, an optional dependency of this one.
 * @throws {ConfigError} if `NODE_ENV` is `production`, `oidc-provider` is not installed, or the port or the file cannot
 *   be used
 * @example
 * ```ts
 * import { startDemoLogin } from 'fastify-mcp-oauth/demo'
 * import { buildApp } from './app.js'
 *
 * const login = await startDemoLogin()
 * const app = await buildApp(login.options)
 * app.addHook('onClose', () => login.close())
 * await app.listen({ port: 5050 })
 * ```
 */
export async function startDemoLogin ({ port = 0, file }: DemoLoginOptions = {}): Promise<DemoLogin> {
  if (process.env.NODE_ENV === 'production') {
    throw new ConfigError('The demo login lets everybody in, so it does not start with NODE_ENV=production.')
  }
  const { issuer, close } = await startDemoUpstream({ port, file })
  return { issuer, options: { issuerUrl: new URL(issuer), scopes: OPENID_SCOPES }, close }
}
