import type { FastifyInstance } from 'fastify'
import { injectFetch, type ScriptableUpstream } from '../../src/testing/index.js'
import {
  authorize,
  LOOPBACK_URI,
  redeem,
  register,
  parseTokens,
  WEB_URI,
  type Client,
  type Tokens
} from '../support/oauth-flow.js'
import type { Target } from '../support/target.js'
import { emitted } from '../support/emitted.js'
import { nextTo, PLACES, placedRouteOf, toPlace, toPlaced } from './places.js'
import { routeOf, type FuzzedRoute } from './routes.js'
import { ADMIN_TOKEN, checkFile, METRICS_TOKEN, SERVICE_SECRET, startFuzzed, type WorldOptions } from './service.js'
import type { RequestStep } from './steps.js'

const basic = (name: string, secret: string) => Buffer.from(`${name}:${secret}`).toString('base64')
const YEAR_MS = 365 * 86_400_000

/** A bound of the service that is documented: so many logins begin for an address, and in all, in a minute. */
export class LoginRefused extends Error {}

/** A service that is fuzzed, with people who are logged in, their sessions, and what strangers have in their hands. */
export class World {
  readonly options: WorldOptions
  readonly app: FastifyInstance
  readonly upstream: ScriptableUpstream
  readonly port: number
  /** What the service said in its log that it should not have to. */
  readonly errors: string[]
  readonly #target: Target
  /** Its place among several servers. */
  readonly #place: string
  readonly #words = new Map<string, string>()
  #sessions: string[] = []
  #leave = () => {}

  private constructor (
    options: WorldOptions,
    app: FastifyInstance,
    target: Target,
    upstream: ScriptableUpstream,
    errors: string[]
  ) {
    this.options = options
    this.app = app
    this.upstream = upstream
    this.errors = errors
    this.#target = target
    this.#place = options.several ? PLACES[options.server] : ''
    const address = app.server.address()
    this.port = typeof address === 'object' && address !== null ? address.port : 0
    for (const [word, value] of Object.entries({
      host: new URL(target.url).host,
      origin: target.url,
      resource: `${target.url}${this.#place}/mcp`,
      redirect: LOOPBACK_URI,
      basic: basic('x', 'y'),
      service: basic('service', SERVICE_SECRET),
      admin: ADMIN_TOKEN,
      metrics: METRICS_TOKEN
    })) { this.#words.set(word, value) }
  }

  /** Starts a service, and logs people in. */
  static async start (options: WorldOptions): Promise<World> {
    const { app, config, upstream, errors } = await startFuzzed(options)
    const toService = injectFetch(app)
    const fetchEither: typeof fetch = async (input, init) =>
      await (String(input).startsWith(`${config.publicUrl}/`) ? toService : upstream.fetch)(input, init)
    const world = new World(
      options,
      app,
      { app, upstream, fetch: fetchEither, url: config.publicUrl },
      upstream,
      errors
    )
    await world.refresh()
    return world
  }

  get url (): string {
    return this.#target.url
  }

  /** Brings people and sessions back, where strangers have ended them. */
  async refresh (): Promise<void> {
    const alice = this.#words.get('token:alice')
    const bob = this.#words.get('token:bob')
    if (alice === undefined || bob === undefined || !(await this.#isGood(alice)) || !(await this.#isGood(bob))) {
      await (this.options.authMode === 'broker' ? this.#logIn() : this.#sign())
    }
    if (this.options.sessionMode === 'stateful') await this.#beginSessions()
    // the upstream keeps what it is asked, for tests that look at it
    this.upstream.requests.length = 0
  }

  /** What a word stands for, as far as it is the same for all. */
  word (name: string, argument: string): string | undefined {
    if (name === 'session' && (argument === 'alice' || argument === 'last')) {
      return this.#sessions[Math.floor(this.#sessions.length / 2)]
    }
    return this.#words.get(argument === '' ? name : `${name}:${argument}`)
  }

  /** A request as this service gets it: with others beside it, a server is at a place of its own. */
  placed (step: RequestStep): RequestStep {
    const { several, server } = this.options
    return several ? toPlaced(step, server) : step
  }

  /** The route that a request leads to, if this service has it: that depends on its mode. */
  routeOf (step: RequestStep): FuzzedRoute | undefined {
    const route = this.options.several ? placedRouteOf(step) : routeOf(step)
    if (route === undefined) return undefined
    const { path, methods: [method = ''] } = route
    return this.app.hasRoute({ url: this.#at(path), method }) ? route : undefined
  }

  async isAlive (): Promise<boolean> {
    return (await this.app.inject({ url: '/healthz' })).statusCode === 200
  }

  async close (): Promise<void> {
    this.#leave()
    await this.app.close()
    if (this.options.stateFile !== undefined) checkFile(this.options.stateFile)
  }

  #at (path: string): string {
    return toPlace(path, this.#place)
  }

  async #isGood (token: string): Promise<boolean> {
    const { statusCode } = await this.app.inject({
      method: 'PUT',
      url: this.#at('/mcp'),
      headers: { host: this.#words.get('host'), authorization: `Bearer ${token}` }
    })
    return statusCode === 405
  }

  async #logIn (): Promise<void> {
    const target = this.#target
    const [client, other] = [await register(target), await register(target)]
    const secret = await register(target, WEB_URI, { token_endpoint_auth_method: 'client_secret_post' })
    const [alice, bob] = [await this.#tokens(client, 'alice', 'mcp more'), await this.#tokens(client, 'bob', 'mcp')]
    const elsewhere = await this.#tokens(other, 'alice', 'mcp more')
    const now = Date.now
    let expired: Tokens
    try {
      Date.now = () => now() - YEAR_MS
      expired = await this.#tokens(client, 'alice', 'mcp').catch(() => ({
        accessToken: 'mcpa_expired',
        refreshToken: 'mcpr_expired'
      }))
    } finally {
      Date.now = now
    }
    const weak = await this.#tokens(client, 'alice', 'more')
    const foreign = await this.#foreignTokens(client) ?? weak
    this.#set({
      'token:alice': alice.accessToken,
      'token:bob': bob.accessToken,
      'token:otherClient': elsewhere.accessToken,
      'token:refresh': elsewhere.refreshToken,
      'token:bobRefresh': bob.refreshToken,
      'token:expired': expired.accessToken,
      'token:weak': weak.accessToken,
      'token:foreign': foreign.accessToken,
      'token:upstream': 'upstream-x',
      client: client.clientId,
      secretClient: secret.clientId,
      secret: secret.clientSecret ?? ''
    })
  }

  /** Tokens for something else: another server, or the other endpoint. */
  async #foreignTokens (client: Client): Promise<Tokens | undefined> {
    const { several, server, sessionMode } = this.options
    const resource = (path: string) => this.#target.url + path
    if (several) return await this.#tokens(client, 'alice', 'mcp', resource(`${PLACES[nextTo(server)]}/mcp`))
    return sessionMode === 'stateful' ? await this.#tokens(client, 'alice', 'mcp', resource('/sse')) : undefined
  }

  async #tokens (
    client: Client,
    as: string,
    scope: string,
    resource = this.#target.url + this.#at('/mcp')
  ): Promise<Tokens> {
    const answer = await authorize(this.#target, client, { as, parameters: { scope, resource } })
    if (answer.get('error') === 'temporarily_unavailable') {
      throw new LoginRefused(String(answer.get('error_description')))
    }
    return parseTokens(await redeem(this.#target, client, answer.get('code') ?? '', { resource }))
  }

  async #sign (): Promise<void> {
    const aud = this.#target.url + this.#at('/mcp')
    const sign = (sub: string, clientId: string, claims = {}, seconds = 86_400) =>
      this.upstream.sign({ aud, sub, client_id: clientId, scope: 'mcp more', ...claims }, seconds)
    this.#set({
      'token:alice': await sign('alice', 'c1'),
      'token:bob': await sign('bob', 'c1', { scope: 'mcp' }),
      'token:otherClient': await sign('alice', 'c2'),
      'token:weak': await sign('alice', 'c1', { scope: 'more' }),
      'token:expired': await sign('alice', 'c1', {}, -7200),
      'token:foreign': await sign('alice', 'c1', { aud: 'https://other.example' }),
      'token:upstream': await sign('', 'c1'),
      'token:refresh': await sign('alice', 'c1', { nonce: 'x' }),
      client: 'c1'
    })
  }

  #set (words: Record<string, string>): void {
    for (const [word, value] of Object.entries(words)) this.#words.set(word, value)
  }

  async #beginSessions (): Promise<void> {
    this.#sessions = []
    for (const version of ['2025-03-26', '2025-06-18', '2025-11-25']) {
      this.#sessions.push(await this.#beginSession('token:alice', version))
    }
    this.#set({
      'session:bob': await this.#beginSession('token:bob'),
      // alice's, of another client, or at another server
      'session:otherClient': this.options.several && this.options.authMode === 'broker'
        ? await this.#beginSession('token:foreign', '2025-11-25', `${PLACES[nextTo(this.options.server)]}/mcp`)
        : await this.#beginSession('token:otherClient'),
      'session:dead': await this.#beginSession('token:alice')
    })
    await this.app.inject({
      method: 'DELETE',
      url: this.#at('/mcp'),
      headers: { ...this.#headers('token:alice'), 'mcp-session-id': this.#words.get('session:dead') }
    })
    this.#leave()
    const response = await this.app.inject({
      url: this.#at('/sse'),
      headers: { ...this.#headers('token:alice'), accept: 'text/event-stream' },
      payloadAsStream: true
    })
    const stream = response.stream()
    this.#leave = () => {
      response.raw.res.destroy()
    }
    const [event] = await emitted(stream, 'data')
    stream.resume()
    this.#set({ 'session:sse': /sessionId=([\w-]+)/.exec(String(event))?.[1] ?? '' })
  }

  #headers (token: string): Record<string, string | undefined> {
    return {
      host: this.#words.get('host'),
      authorization: `Bearer ${this.#words.get(token)}`,
      accept: 'application/json, text/event-stream',
      'content-type': 'application/json'
    }
  }

  async #beginSession (
    token: string,
    protocolVersion = '2025-11-25',
    url = this.#at('/mcp')
  ): Promise<string> {
    const response = await this.app.inject({
      method: 'POST',
      url,
      headers: this.#headers(token),
      payload: {
        jsonrpc: '2.0',
        id: 1,
        method: 'initialize',
        params: { protocolVersion, capabilities: { elicitation: {} }, clientInfo: { name: 'fuzz', version: '1' } }
      }
    })
    const id = response.headers['mcp-session-id']
    if (typeof id !== 'string') throw new Error(`No session: ${response.statusCode} ${response.body}`)
    return id
  }
}
