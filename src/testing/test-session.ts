import type { InjectOptions, LightMyRequestResponse } from 'fastify'
import { refreshAuthorization } from '@modelcontextprotocol/sdk/client/auth.js'
import type { OAuthClientInformationMixed, OAuthTokens } from '@modelcontextprotocol/sdk/shared/auth.js'
import {
  CallToolResultSchema,
  ListToolsResultSchema,
  type CallToolResult,
  type JSONRPCNotification,
  type Tool
} from '@modelcontextprotocol/sdk/types.js'
import type { InjectableApp } from './inject-fetch.js'
import {
  connectSession,
  modernCalls,
  type JsonObject,
  type McpCalls,
  type ServerRequestAnswers,
  type TestProtocolVersion
} from './mcp-calls.js'
import type { DiscoveredServer } from './discovered-server.js'

export interface TestSessionOptions {
  app: InjectableApp
  fetch: typeof fetch
  server: DiscoveredServer
  clientInformation: OAuthClientInformationMixed
  tokens: OAuthTokens
  protocolVersion: TestProtocolVersion
  answers: ServerRequestAnswers
}

/**
 * Somebody who is logged in at a client: their tokens, and the MCP calls that the client makes for them.
 * @example
 * ```ts
 * import assert from 'node:assert/strict'
 * import { ScriptableUpstream, testClient, type TestSession } from 'fastify-mcp-oauth/testing'
 * import { buildApp } from './app.js'
 *
 * const upstream = new ScriptableUpstream()
 * const client = testClient(await buildApp(upstream.options), { upstream })
 * const alice: TestSession = await client.login({ as: 'alice' })
 * await alice.refresh()
 * await alice.revoke()
 * await assert.rejects(alice.listTools(), { code: 401 })
 * ```
 */
export class TestSession {
  /** Notifications of the server so far, oldest first. */
  readonly notifications: JSONRPCNotification[] = []
  /** Requests with the access token, to wherever. */
  readonly fetch: typeof fetch
  /** Of the client that they are logged in at. */
  readonly clientId: string
  readonly #options: TestSessionOptions
  #tokens: OAuthTokens
  #calls: Promise<McpCalls> | undefined

  constructor (options: TestSessionOptions) {
    this.#options = options
    this.#tokens = options.tokens
    this.clientId = options.clientInformation.client_id
    this.fetch = async (input, init) => {
      const headers = new Headers(init?.headers ?? (input instanceof Request ? input.headers : undefined))
      headers.set('authorization', `Bearer ${this.accessToken}`)
      return await options.fetch(input, { ...init, headers })
    }
  }

  /** Changes with `refresh`. */
  get accessToken (): string {
    return this.#tokens.access_token
  }

  /** Absent where the client got none. */
  get refreshToken (): string | undefined {
    return this.#tokens.refresh_token
  }

  /** What was granted. */
  get scopes (): string[] {
    return this.#tokens.scope?.split(' ') ?? []
  }

  /** `app.inject` with the access token. */
  async inject (options: InjectOptions): Promise<LightMyRequestResponse> {
    return await this.#options.app.inject({
      authority: this.#options.server.mcpUrl.host,
      ...options,
      headers: { authorization: `Bearer ${this.accessToken}`, ...options.headers }
    })
  }

  /** Calls a tool. */
  async callTool (name: string, args: JsonObject = {}): Promise<CallToolResult> {
    return CallToolResultSchema.parse(await this.request('tools/call', { name, arguments: args }))
  }

  /** All tools, from every page of the list. */
  async listTools (): Promise<Tool[]> {
    const tools: Tool[] = []
    for (let cursor: string | undefined; ;) {
      const page = ListToolsResultSchema.parse(await this.request('tools/list', cursor === undefined ? {} : { cursor }))
      tools.push(...page.tools)
      cursor = page.nextCursor
      if (cursor === undefined) return tools
    }
  }

  /**
   * Makes any request; the first one opens the session, where the revision has sessions.
   * @throws {McpError} for an error of JSON-RPC
   * @throws {StreamableHTTPError} for one of HTTP, with its status as `code`
   */
  async request (method: string, params: JsonObject = {}): Promise<JsonObject> {
    const calls = await (this.#calls ??= this.#connect())
    return await calls.request(method, params)
  }

  /** Has the client's tokens refreshed. @throws {OAuthError} of the SDK, such as `InvalidGrantError` */
  async refresh (): Promise<void> {
    const { server: { issuer, metadata, mcpUrl }, clientInformation, fetch } = this.#options
    if (this.refreshToken === undefined) throw new Error('The client has no refresh token.')
    this.#tokens = await refreshAuthorization(issuer, {
      metadata,
      clientInformation,
      refreshToken: this.refreshToken,
      resource: mcpUrl,
      fetchFn: fetch
    })
  }

  /** Logs out: revokes the refresh token, or else the access token (RFC 7009). */
  async revoke (): Promise<void> {
    const { server: { metadata }, clientInformation: { client_id: clientId, client_secret: clientSecret }, fetch } =
      this.#options
    const endpoint = 'revocation_endpoint' in metadata ? metadata.revocation_endpoint : undefined
    if (typeof endpoint !== 'string') throw new Error('The authorization server has no revocation endpoint.')
    const body = new URLSearchParams({
      token: this.refreshToken ?? this.accessToken,
      client_id: clientId,
      ...clientSecret !== undefined && { client_secret: clientSecret }
    })
    const response = await fetch(endpoint, { method: 'POST', body })
    if (!response.ok) throw new Error(`Revocation was answered ${response.status}: ${await response.text()}`)
  }

  /** Lets go of the client's streams. */
  async close (): Promise<void> {
    const calls = await this.#calls
    await calls?.close()
  }

  async #connect (): Promise<McpCalls> {
    const { server: { mcpUrl: url }, protocolVersion, answers } = this.#options
    const options = {
      url,
      fetch: this.fetch,
      answers,
      onNotification: (notification: JSONRPCNotification) => {
        this.notifications.push(notification)
      }
    }
    return protocolVersion === '2026-07-28' ? modernCalls(options) : await connectSession(options)
  }
}
