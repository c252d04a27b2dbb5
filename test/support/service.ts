import { once } from 'node:events'
import { createServer as createHttpServer, type RequestListener } from 'node:http'
import type { FastifyInstance } from 'fastify'
import type { Test } from 'tap'
import { buildApp, type BuildAppOptions } from '../../src/app.js'
import { loadConfig, type Config } from '../../src/config/config.js'
import { startDemoUpstream, type DemoUpstream, type DemoUpstreamOptions } from '../../src/demo/upstream.js'
import { addressOf } from './address-of.js'
import { freePort } from './free-port.js'
import { createServer } from './sample-server.js'

/** The real service on a free port of loopback, with a demo upstream of its own. */
export interface Service {
  app: FastifyInstance
  config: Config
  upstream: DemoUpstream
  /** Origin of the service. */
  url: string
  /** The way to both: the network. */
  fetch: typeof fetch
}

/**
 * What every service of a test begins with. A machine that runs tests may well be overloaded: nothing is refused for
 * that. A process of the service would keep its state in the checkout.
 */
export const QUIET = { LOG_LEVEL: 'silent', MAX_EVENT_LOOP_DELAY_MS: '0', DATA_DIR: 'memory' } as const

/** Listens on a free port of loopback for as long as the test runs. @returns the port */
export async function listenFor (t: Test, listener: RequestListener): Promise<number> {
  const server = createHttpServer(listener).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.close()
    server.closeAllConnections()
  })
  const address = addressOf(server)
  return address.port
}

/** Runs the service as `npm start` does, with a server of the tests, and `environment` laid over quiet defaults. */
export async function runService (
  environment: NodeJS.ProcessEnv = {},
  upstreamConfiguration: DemoUpstreamOptions['configuration'] = {},
  options: Partial<BuildAppOptions> = {}
): Promise<Service & { close (): Promise<void> }> {
  const upstream = await startDemoUpstream({ port: 0, configuration: upstreamConfiguration })
  const config = loadConfig({
    ...QUIET,
    PORT: String(await freePort()),
    OAUTH_ISSUER_URL: upstream.issuer,
    ...environment
  }, { dotenv: false })
  const app = await buildApp(config, { createServer, ...options })
  await app.listen({ port: config.port, host: '127.0.0.1' })
  const close = async () => {
    await app.close()
    await upstream.close()
  }
  return { app, config, upstream, url: config.publicUrl, fetch, close }
}

/** The same for a test; ends with it. */
export async function startService (t: Test, ...how: Parameters<typeof runService>): Promise<Service> {
  const service = await runService(...how)
  t.teardown(() => service.close())
  return service
}
