import { randomUUID } from 'node:crypto'
import {
  discoverAuthorizationServerMetadata,
  discoverOAuthProtectedResourceMetadata,
  exchangeAuthorization,
  extractWWWAuthenticateParams,
  registerClient,
  startAuthorization
} from '@modelcontextprotocol/sdk/client/auth.js'
import type { OAuthClientInformationMixed, OAuthClientMetadata } from '@modelcontextprotocol/sdk/shared/auth.js'
import { injectFetch, type InjectableApp } from './inject-fetch.js'
import type { ServerRequestAnswers, TestProtocolVersion } from './mcp-calls.js'
import { Person } from './person.js'
import { TestSession } from './test-session.js'
import type { ScriptableUpstream } from './upstream/upstream.js'
import type { DiscoveredServer } from './discovered-server.js'
import { REVISION_2025_11_25 } from '../mcp/wire/protocol-versions.js'

/**
 * Which client `testClient` makes.
 * @example
 * ```ts
 * import { ScriptableUpstream, testClient, type TestClientOptions } from 'fastify-mcp-oauth/testing'
 * import { buildApp } from './app.js'
 *
 * const upstream = new ScriptableUpstream()
 * const options: TestClientOptions = { upstream, path: '/ai/mcp', metadata: { client_name: 'Notes' } }
 * export const client = testClient(await buildApp(upstream.options), options)
 * ```
 */
export interface TestClientOptions {
  /** Where people log in. Default: whatever the app redirects to, over the network. */
  upstream?: Pick<ScriptableUpstream, 'fetch'>
  /** Path of the MCP endpoint in the app; with the prefix, if there is one. Default: `/mcp`. */
  path?: string
  /** Laid over the metadata that the client registers with. */
  metadata?: Partial<OAuthClientMetadata>
  /**
   * A client that is registered already (`clients` of the broker), with its `redirectUri`. Default: one that registers
   * itself (RFC 7591).
   */
  registered?: { clientId: string, clientSecret?: string }
  /** Default: `http://localhost:3334/callback`. */
  redirectUri?: string
}

/**
 * Who logs in with `login` of a test client, and how the session that follows behaves.
 * @example
 * ```ts
 * import type { LoginOptions } from 'fastify-mcp-oauth/testing'
 *
 * export const asAlice: LoginOptions = {
 *   as: 'alice',
 *   scopes: ['notes:read'],
 *   protocolVersion: '2026-07-28',
 *   answers: { 'elicitation/create': () => ({ action: 'accept', content: { colour: 'blue' } }) }
 * }
 * ```
 */
export interface LoginOptions {
  /** Name of the person, which is their subject at the scriptable upstream. Default: `alice`. */
  as?: string
  /** Scopes that the client asks for. Default: those of the challenge, as clients do. */
  scopes?: readonly string[]
  /** Revision that the session speaks. Default: 2025-11-25. */
  protocolVersion?: TestProtocolVersion
  /** What the client answers to requests of the server, by method. The client has the capabilities for them. */
  answers?: ServerRequestAnswers
}

/**
 * The login did not lead to a code. `error` is what the client was told (RFC 6749 4.1.2.1); absent if the person was
 * left on a page. `status` is the HTTP status.
 * @example
 * ```ts
 * import assert from 'node:assert/strict'
 * import { LoginError, ScriptableUpstream, testClient } from 'fastify-mcp-oauth/testing'
 * import { buildApp } from './app.js'
 *
 * const upstream = new ScriptableUpstream()
 * const client = testClient(await buildApp(upstream.options), { upstream })
 * upstream.deny()
 * await assert.rejects(client.login(), error => error instanceof LoginError && error.error === 'access_denied')
 * ```
 */
export class LoginError extends Error {
  /** `LoginError`. */
  override readonly name = 'LoginError'
  /** What the client was told, such as `access_denied`. */
  readonly error: string | undefined
  /** Status of the page, or of the redirect to the client. */
  readonly status: number

  constructor (message: string, status: number, error?: string) {
    super(message)
    this.status = status
    this.error = error
  }
}

/**
 * An MCP client in front of an app that listens nowhere: it discovers, registers, logs people in, and calls.
 * @example
 * ```ts
 * import assert from 'node:assert/strict'
 * import { ScriptableUpstream, testClient, type TestClient } from 'fastify-mcp-oauth/testing'
 * import { buildApp } from './app.js'
 *
 * const upstream = new ScriptableUpstream()
 * const client: TestClient = testClient(await buildApp(upstream.options), { upstream })
 * const { answer } = await client.authorize({ as: 'alice', scopes: ['notes:read'] })
 * assert.ok(answer.has('code'))
 * ```
 */
export class TestClient {
  /** The app that it calls. */
  readonly app: InjectableApp
  /** Where people come back to. */
  readonly redirectUri: string
  /** The way to the app, and to where people log in. */
  readonly fetch: typeof fetch
  readonly #options: TestClientOptions
  /** Where the app says that it is. */
  #origin: string | undefined
  #server: Promise<DiscoveredServer> | undefined
  #client: Promise<OAuthClientInformationMixed> | undefined

  constructor (app: InjectableApp, options: TestClientOptions = {}) {
    this.app = app
    this.redirectUri = options.redirectUri ?? 'http://localhost:3334/callback'
    this.#options = options
    const [toApp, elsewhere] = [injectFetch(app), options.upstream?.fetch ?? fetch]
    this.fetch = async (input, init) => {
      const { origin } = new URL(input instanceof Request ? input.url : input)
      return await (origin === (this.#origin ?? origin) ? toApp : elsewhere)(input, init)
    }
  }

  /**
   * Finds out where to log in: from the challenge of the MCP endpoint (RFC 9728), and the metadata it leads to (RFC
   * 8414).
   */
  async discover (): Promise<DiscoveredServer> {
    this.#server ??= this.#discover()
    return await this.#server
  }

  /** The client's id, and its secret if it has one; registers it at the first call. */
  async register (): Promise<OAuthClientInformationMixed> {
    this.#client ??= this.#register()
    return await this.#client
  }

  /**
   * Sends a person to log in and to consent, in a browser of their own.
   * @returns what comes back to the client's redirect URI, and the PKCE verifier that goes with it
   * @throws {LoginError} where the person is left on a page
   */
  async authorize (
    { as = 'alice', scopes }: Pick<LoginOptions, 'as' | 'scopes'> = {}
  ): Promise<{ answer: URLSearchParams, codeVerifier: string }> {
    const { issuer, metadata, mcpUrl, scope = '' } = await this.discover()
    const state = randomUUID()
    const { authorizationUrl, codeVerifier } = await startAuthorization(issuer, {
      metadata,
      state,
      clientInformation: await this.register(),
      redirectUrl: this.redirectUri,
      resource: mcpUrl,
      scope: scopes?.join(' ') ?? scope
    })
    const { url, status, html } = await new Person(as, this.fetch).logIn(
      authorizationUrl,
      next => next.href.startsWith(this.redirectUri)
    )
    if (!url.href.startsWith(this.redirectUri)) {
      throw new LoginError(`The login ended at ${url.origin}${url.pathname} (${status}): ${html}`, status)
    }
    const [returned, iss] = [url.searchParams.get('state'), url.searchParams.get('iss')]
    if (returned !== state) throw new LoginError(`The answer has another state: ${returned}`, status)
    if (iss !== null && iss !== metadata.issuer) throw new LoginError(`The answer is of another issuer: ${iss}`, status)
    return { answer: url.searchParams, codeVerifier }
  }

  /**
   * The whole way of a client: registration, login, consent, code, tokens.
   * @throws {LoginError} where the person, the app or the upstream refuses
   */
  async login (options: LoginOptions = {}): Promise<TestSession> {
    const { answer, codeVerifier } = await this.authorize(options)
    const [code, error] = [answer.get('code'), answer.get('error')]
    if (code === null) {
      throw new LoginError(
        `The client was told: ${error} (${answer.get('error_description')})`,
        302,
        error ?? undefined
      )
    }
    const server = await this.discover()
    const clientInformation = await this.register()
    const { protocolVersion = REVISION_2025_11_25, answers = {} } = options
    const tokens = await exchangeAuthorization(server.issuer, {
      metadata: server.metadata,
      clientInformation,
      codeVerifier,
      authorizationCode: code,
      redirectUri: this.redirectUri,
      resource: server.mcpUrl,
      fetchFn: this.fetch
    })
    return new TestSession({
      app: this.app,
      fetch: this.fetch,
      server,
      clientInformation,
      tokens,
      protocolVersion,
      answers
    })
  }

  async #discover (): Promise<DiscoveredServer> {
    const { path = '/mcp' } = this.#options
    const challenge = await this.fetch(`http://localhost${path}`, { method: 'POST' })
    const { resourceMetadataUrl, scope } = extractWWWAuthenticateParams(challenge)
    if (resourceMetadataUrl === undefined) {
      throw new Error(
        `POST ${path} answered ${challenge.status} without a challenge that leads to metadata: ` +
          'is the MCP endpoint there?'
      )
    }
    this.#origin = resourceMetadataUrl.origin
    const { resource, authorization_servers: [issuer] = [] } = await discoverOAuthProtectedResourceMetadata(
      resourceMetadataUrl,
      { resourceMetadataUrl },
      this.fetch
    )
    const metadata = issuer === undefined
      ? undefined
      : await discoverAuthorizationServerMetadata(issuer, { fetchFn: this.fetch })
    if (issuer === undefined || metadata === undefined) {
      throw new Error(`${resourceMetadataUrl.href} names no authorization server that describes itself.`)
    }
    return { mcpUrl: new URL(resource), scope, issuer, metadata }
  }

  async #register (): Promise<OAuthClientInformationMixed> {
    const { registered, metadata: clientMetadata } = this.#options
    if (registered !== undefined) {
      return {
        client_id: registered.clientId,
        ...registered.clientSecret !== undefined && { client_secret: registered.clientSecret }
      }
    }
    const { issuer, metadata } = await this.discover()
    return await registerClient(issuer, {
      metadata,
      clientMetadata: {
        client_name: 'Test client',
        redirect_uris: [this.redirectUri],
        grant_types: ['authorization_code', 'refresh_token'],
        response_types: ['code'],
        token_endpoint_auth_method: 'none',
        ...clientMetadata
      },
      fetchFn: this.fetch
    })
  }
}

/**
 * Makes a client for tests of an app with `mcpService`. Everything goes through `app.inject`; nothing needs a port.
 * @example
 * ```ts
 * import assert from 'node:assert/strict'
 * import { ScriptableUpstream, testClient } from 'fastify-mcp-oauth/testing'
 * import { buildApp } from './app.js'
 *
 * const upstream = new ScriptableUpstream()
 * const app = await buildApp(upstream.options)
 * const alice = await testClient(app, { upstream }).login({ as: 'alice' })
 * const { content } = await alice.callTool('add', { l: 1, r: 2 })
 * assert.deepEqual(content, [{ type: 'text', text: '3' }])
 * await alice.close()
 * ```
 */
export function testClient (app: InjectableApp, options: TestClientOptions = {}): TestClient {
  return new TestClient(app, options)
}
