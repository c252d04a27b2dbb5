import { createHash } from 'node:crypto'
import Fastify, { type FastifyInstance } from 'fastify'
import type { Test } from 'tap'
import { buildApp } from '../../src/app.js'
import { loadConfig } from '../../src/config/config.js'
import { createServer } from '../support/sample-server.js'
import { mcpService } from '../../src/service/mcp-service.js'
import type { BrokerModeOptions } from '../../src/service/plugin-options.js'
import { createMemoryStores } from '../../src/stores/memory/stores.js'
import { injectFetch, ScriptableUpstream } from '../../src/testing/index.js'
import { Browser, logIn, type Page } from '../support/browser.js'
import { QUIET } from '../support/service.js'

/** What is attacked: the service with its upstream. */
export interface Target {
  app: FastifyInstance
  upstream: { issuer: string }
  /** The way to both. */
  fetch: typeof fetch
  /** Origin of the service. */
  url: string
}

/** The same, if it runs elsewhere. */
export type Reachable = Omit<Target, 'app'>

/** A client of the target. */
export interface Client {
  clientId: string
  /** Absent: a public client. */
  clientSecret?: string
  redirectUri: string
}

/** Parameters laid over those of an honest client; `undefined` leaves one out. */
export type Parameters = Readonly<Record<string, string | undefined>>

export interface Tokens {
  accessToken: string
  refreshToken: string
}

export const VERIFIER = 'the-verifier-of-an-honest-client.0123456789~ABC'
export const STATE = 'state-of-the-client'
export const WEB_URI = 'https://app.example/callback'
export const LOOPBACK_URI = 'http://localhost:3334/callback'

/** An answer, read to its end. */
export class Answer {
  readonly status: number
  readonly headers: Headers
  readonly text: string

  constructor ({ status, headers }: Pick<Response, 'status' | 'headers'>, text: string) {
    this.status = status
    this.headers = headers
    this.text = text
  }

  /** A member of its JSON; undefined where it has no such text. */
  member (name: string): string | undefined {
    const body: unknown = /^application\/json\b/.test(this.headers.get('content-type') ?? '')
      ? JSON.parse(this.text)
      : undefined
    const value = typeof body === 'object' && body !== null
      ? new Map<string, unknown>(Object.entries(body)).get(name)
      : undefined
    return typeof value === 'string' ? value : undefined
  }

  get error (): string | undefined {
    return this.member('error')
  }

  /** Everything that came over the wire. */
  get bytes (): string {
    return [this.status, ...[...this.headers].map(([name, value]) => `${name}: ${value}`), '', this.text].join('\n')
  }
}

export async function ask (
  { fetch }: Pick<Target, 'fetch'>,
  url: string | URL,
  init: RequestInit = {}
): Promise<Answer> {
  const response = await fetch(url, { redirect: 'manual', ...init })
  return new Answer(response, await response.text())
}

export function form (parameters: Parameters): URLSearchParams {
  const body = new URLSearchParams()
  for (const [name, value] of Object.entries(parameters)) if (value !== undefined) body.set(name, value)
  return body
}

export async function post (
  target: Reachable,
  path: string,
  parameters: Parameters,
  headers: Record<string, string> = {}
): Promise<Answer> {
  return await ask(target, `${target.url}${path}`, { method: 'POST', body: form(parameters), headers })
}

/** A registration request with whatever metadata. */
export async function askToRegister (target: Reachable, metadata: Record<string, unknown>): Promise<Answer> {
  return await ask(target, `${target.url}/register`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(metadata)
  })
}

/** Registers a client: public, unless the metadata say otherwise. */
export async function register (
  target: Reachable,
  redirectUri = LOOPBACK_URI,
  metadata: Record<string, unknown> = {}
): Promise<Client> {
  const answer = await askToRegister(target, {
    client_name: 'Test client',
    redirect_uris: [redirectUri],
    token_endpoint_auth_method: 'none',
    ...metadata
  })
  const [clientId, clientSecret] = [answer.member('client_id'), answer.member('client_secret')]
  if (clientId === undefined) throw new Error(`Not registered: ${answer.text}`)
  return { clientId, redirectUri, ...clientSecret !== undefined && { clientSecret } }
}

export function challengeOf (verifier: string): string {
  return createHash('sha256').update(verifier).digest('base64url')
}

/** Where a client sends the person. */
export function authorizationUrl (target: Reachable, client: Client, parameters: Parameters = {}): URL {
  const url = new URL('/authorize', target.url)
  url.search = form({
    response_type: 'code',
    client_id: client.clientId,
    redirect_uri: client.redirectUri,
    state: STATE,
    code_challenge: challengeOf(VERIFIER),
    code_challenge_method: 'S256',
    resource: `${target.url}/mcp`,
    scope: 'mcp',
    ...parameters
  }).toString()
  return url
}

/** A browser whose journey ends where it leaves the target and its upstream. */
export function openBrowser ({ url, upstream, fetch }: Reachable): Browser {
  return new Browser(next => next.origin !== url && next.origin !== upstream.issuer, fetch)
}

/** A person logs in for a client. @returns the parameters of the redirect back to the client */
export async function authorize (
  target: Reachable,
  client: Client,
  { parameters = {}, browser = openBrowser(target), as = 'alice' }: {
    parameters?: Parameters
    browser?: Browser
    as?: string
  } = {}
): Promise<URLSearchParams> {
  const page = await logIn(browser, authorizationUrl(target, client, parameters), as)
  if (!isAt(page, client.redirectUri)) {
    throw new Error(`The login ended at ${page.url.href} (${page.status}): ${page.html}`)
  }
  return page.url.searchParams
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
  const end = await finish(browser, page, as)
  if (!isAt(end, client.redirectUri)) throw new Error(`The login ended at ${end.url.href} (${end.status}): ${end.html}`)
  return end.url.searchParams
}

/** Goes on from where a login has got to, as `logIn` does. */
export async function finish (browser: Browser, page: Page, as = 'alice'): Promise<Page> {
  let end = page
  for (let steps = 0; steps < 6 && end.status === 200 && end.document.querySelector('form') !== null; steps++) {
    const asks = end.document.querySelectorAll('button').some(button => button.text.trim() === 'Allow access')
    const fields = end.document.querySelector('input[name=login]') !== null ? { login: as, password: 'any' } : {}
    end = await browser.submit(end, fields, asks ? 'Allow access' : undefined)
  }
  return end
}

/** The code of a new login. */
export async function newCode (target: Reachable, client: Client, parameters: Parameters = {}): Promise<string> {
  const answer = await authorize(target, client, { parameters })
  const code = answer.get('code')
  if (code === null) throw new Error(`No code: ${answer}`)
  return code
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

/** Whether a journey ended at a redirect to this URI. */
export function isAt (page: Page, redirectUri: string): boolean {
  return page.status >= 300 && page.status < 400 && page.url.href.split('?')[0] === redirectUri.split('?')[0]
}

function credentialsOf ({ clientId, clientSecret }: Client): Parameters {
  return { client_id: clientId, client_secret: clientSecret }
}

export async function redeem (
  target: Reachable,
  client: Client,
  code: string,
  parameters: Parameters = {}
): Promise<Answer> {
  return await post(target, '/token', {
    grant_type: 'authorization_code',
    code,
    redirect_uri: client.redirectUri,
    code_verifier: VERIFIER,
    ...credentialsOf(client),
    ...parameters
  })
}

export async function refresh (
  target: Reachable,
  client: Client,
  refreshToken: string,
  parameters: Parameters = {}
): Promise<Answer> {
  return await post(target, '/token', {
    grant_type: 'refresh_token',
    refresh_token: refreshToken,
    ...credentialsOf(client),
    ...parameters
  })
}

export async function revoke (
  target: Reachable,
  client: Client,
  token: string,
  parameters: Parameters = {}
): Promise<Answer> {
  return await post(target, '/revoke', { token, ...credentialsOf(client), ...parameters })
}

export function tokensOf (answer: Answer): Tokens {
  const [accessToken, refreshToken] = [answer.member('access_token'), answer.member('refresh_token')]
  if (accessToken === undefined || refreshToken === undefined) {
    throw new Error(`No tokens (${answer.status}): ${answer.text}`)
  }
  return { accessToken, refreshToken }
}

/** Tokens of a new login. */
export async function newTokens (target: Reachable, client: Client): Promise<Tokens> {
  return tokensOf(await redeem(target, client, await newCode(target, client)))
}

const MCP_HEADERS = { 'content-type': 'application/json', accept: 'application/json, text/event-stream' }
const INITIALIZE = {
  jsonrpc: '2.0',
  id: 1,
  method: 'initialize',
  params: { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'attack', version: '1' } }
}

/** Posts one message to the MCP endpoint (default: `initialize`). 200: the token is good. */
export async function callMcp (
  target: Reachable,
  headers: Record<string, string>,
  message: object = INITIALIZE
): Promise<Answer> {
  return await ask(target, `${target.url}/mcp`, {
    method: 'POST',
    headers: { ...MCP_HEADERS, ...headers },
    body: JSON.stringify(message)
  })
}

export const bearer = (token: string) => ({ authorization: `Bearer ${token}` })

/** Whether the MCP endpoint takes a token. Anything but yes or a proper challenge is an error. */
export async function isGood (target: Reachable, token: string): Promise<boolean> {
  const { status, headers, text } = await callMcp(target, bearer(token))
  if (status === 200) return true
  if (status === 401 && headers.get('www-authenticate')?.includes('error="invalid_token"') === true) return false
  throw new Error(`/mcp answered ${status}: ${text}`)
}

/** The service, with `environment` laid over quiet defaults, in front of the test kit's upstream. Neither listens; both end with the test. */
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
