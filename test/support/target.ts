import Fastify, { type FastifyInstance } from 'fastify'
import type { Test } from 'tap'
import { buildApp } from '../../src/app.js'
import { loadConfig } from '../../src/config/config.js'
import { mcpService } from '../../src/service/mcp-service.js'
import type { BrokerModeOptions } from '../../src/service/plugin-options.js'
import { createMemoryStores } from '../../src/stores/memory/stores.js'
import { injectFetch, ScriptableUpstream } from '../../src/testing/index.js'
import type { Browser } from './browser.js'
import {
  authorizationUrl,
  finish,
  form,
  redirectParameters,
  type Client,
  type LoginTarget,
  type Parameters
} from './oauth-flow.js'
import { createServer } from './sample-server.js'
import { QUIET } from './service.js'

/** The service in front of the test kit's upstream, in memory. */
export interface Target extends LoginTarget {
  app: FastifyInstance
}

/**
 * The service, with `environment` laid over quiet defaults, in front of the test kit's upstream. Neither listens; both
 * end with the test.
 */
export async function startTarget (t: Test, environment: NodeJS.ProcessEnv = {}): Promise<Target> {
  const upstream = newUpstream()
  const config = loadConfig({ ...QUIET, OAUTH_ISSUER_URL: upstream.issuer, ...environment }, { dotenv: false })
  if (config.upstream === undefined) throw new Error('no upstream')
  const app = await buildApp(config, { createServer, upstream: { ...config.upstream, fetch: upstream.fetch } })
  t.teardown(() => app.close())
  return { app, upstream, url: config.publicUrl, fetch: fetchBetween(app, config.publicUrl, upstream) }
}

/** The same as a plugin of the test's own app: for options that the environment cannot set. */
export async function embed (
  t: Test,
  options: Partial<BrokerModeOptions> = {},
  upstream = newUpstream()
): Promise<Target & { upstream: ScriptableUpstream }> {
  const { publicUrl: url = 'http://localhost:5050', stores = createMemoryStores({ sessionIdleSeconds: 60 }) } = options
  const app = Fastify()
  await app.register(mcpService, { createServer, upstream: upstream.options, ...options, publicUrl: url, stores })
  t.teardown(async () => {
    await app.close()
    await stores.close()
  })
  return { app, upstream, url, fetch: fetchBetween(app, url, upstream) }
}

// RFC 9207: it says who it is, as the better ones do
const newUpstream = () => new ScriptableUpstream({ metadata: { authorization_response_iss_parameter_supported: true } })

/** The way to the service and to its upstream. */
function fetchBetween (app: FastifyInstance, url: string, upstream: ScriptableUpstream): typeof fetch {
  const toService = injectFetch(app)
  return async (input, init) => await (String(input).startsWith(`${url}/`) ? toService : upstream.fetch)(input, init)
}

/** A person allows access for good. @returns the parameters of the redirect back to the client */
export async function approve (
  target: Target,
  client: Client,
  browser: Browser,
  { parameters = {}, as = 'alice' }: { parameters?: Parameters, as?: string } = {}
): Promise<URLSearchParams> {
  const page = await browser.submit(await browser.open(authorizationUrl(target, client, parameters)), {
    remember: 'yes'
  }, 'Allow access')
  return redirectParameters(await finish(browser, page, as), client)
}

/** An attempt that was agreed to and sent upstream, without going there. */
export interface Attempt {
  /** The browser's cookie. */
  cookie: string
  /** Where the browser was sent. */
  upstreamUrl: URL
  state: string
}

/** Agrees to a client's request in a new browser. */
export async function agree (target: Target, client: Client, parameters: Parameters = {}): Promise<Attempt> {
  const { pathname, search } = authorizationUrl(target, client, parameters)
  const page = await target.app.inject({ url: pathname + search })
  const cookie = String(page.headers['set-cookie']).split(';')[0] ?? ''
  const transaction = /name="transaction" value="([^"]+)"/.exec(page.body)?.[1]
  const sent = await injectForm(target, '/authorize/consent', { transaction, decision: 'allow' }, {
    cookie,
    origin: target.url
  })
  const upstreamUrl = new URL(sent.headers.location ?? '')
  return { cookie, upstreamUrl, state: upstreamUrl.searchParams.get('state') ?? '' }
}

/** Posts a form without a network. */
export async function injectForm (
  target: Target,
  url: string,
  parameters: Parameters,
  headers: Record<string, string> = {}
) {
  return await target.app.inject({
    method: 'POST',
    url,
    payload: form(parameters).toString(),
    headers: { 'content-type': 'application/x-www-form-urlencoded', ...headers }
  })
}
