import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js'
import Fastify, { type FastifyInstance } from 'fastify'
import type { Test } from 'tap'
import * as z from 'zod'
import type { CreateServer } from '../../src/mcp/create-server.js'
import { mcpServiceParts } from '../../src/service/mcp-service.js'
import type { BrokerModeOptions } from '../../src/service/plugin-options.js'
import type { UpstreamOptions } from '../../src/oauth/options.js'
import { createMemoryStores } from '../../src/stores/memory/stores.js'
import { injectFetch } from '../../src/testing/index.js'
import { Browser, logIn } from '../support/browser.js'
import { parseObject, valueAt } from '../support/json.js'
import {
  authorizationUrl,
  bearer,
  callMcp,
  parseTokens,
  redeem,
  redirectParameters,
  refresh,
  register,
  revoke,
  type Answer,
  type Client as OAuthClient,
  type Reachable
} from '../support/oauth-flow.js'

export const SCOPES = ['openid', 'profile', 'email', 'offline_access']
// with spaces: it must come back as it went
const STATE = 'state of the client'

/** A member of a JSON answer. */
export type Json = Record<string, unknown>

/** Our service in front of some upstream. */
export interface Service extends Reachable {
  app: FastifyInstance
  /** Lines of the log, oldest first. */
  log: Json[]
}

/** Tells who the caller is, and what token it has upstream. */
const createServer: CreateServer = ({ getUpstreamAccessToken }) => {
  const server = new McpServer({ name: 'upstreams', version: '1.0.0' })
  const text = (value: unknown) => ({ content: [{ type: 'text' as const, text: JSON.stringify(value) }] })
  server.registerTool(
    'whoami',
    { inputSchema: NOTHING },
    (_input, { authInfo }) => text({ ...authInfo?.extra, grantId: undefined, scopes: authInfo?.scopes })
  )
  server.registerTool(
    'upstream_token',
    { inputSchema: NOTHING },
    async () => text({ token: await getUpstreamAccessToken() ?? null })
  )
  return server
}
const NOTHING = z.object({})

/** Makes the service, with options that the environment cannot set; ends it with the test. It listens nowhere. */
export async function startService (
  t: Test,
  upstream: Partial<UpstreamOptions>,
  options: Partial<BrokerModeOptions> = {}
): Promise<Service> {
  const url = options.publicUrl ?? 'http://localhost:5050'
  const log: Json[] = []
  const stores = options.stores ?? createMemoryStores({ sessionIdleSeconds: 3600 })
  const app = Fastify({
    logger: {
      level: 'info',
      stream: {
        write: line => {
          log.push(parseObject(line))
        }
      }
    }
  })
  await app.register(mcpServiceParts, {
    publicUrl: url,
    createServer,
    ...options,
    stores,
    upstream: { scopes: SCOPES, ...upstream }
  })
  t.teardown(async () => {
    await app.close()
    await stores.close()
  })
  const [toService, toUpstream] = [injectFetch(app), upstream.fetch ?? fetch]
  return {
    app,
    url,
    log,
    fetch: (input, init) => (String(input).startsWith(`${url}/`) ? toService : toUpstream)(input, init)
  }
}

/** A client of the service, with a person and a browser. */
export class TestClient {
  readonly service: Service
  readonly #client: OAuthClient
  accessToken = ''
  refreshToken = ''

  private constructor (service: Service, client: OAuthClient) {
    this.service = service
    this.#client = client
  }

  static async register (service: Service): Promise<TestClient> {
    return new TestClient(service, await register(service))
  }

  get clientId (): string {
    return this.#client.clientId
  }

  /** The same client, with its tokens, at another replica of the service. */
  at (service: Service): TestClient {
    const client = new TestClient(service, this.#client)
    client.accessToken = this.accessToken
    client.refreshToken = this.refreshToken
    return client
  }

  authorizationUrl (scope = 'mcp'): string {
    return authorizationUrl(this.service, this.#client, { scope, state: STATE }).href
  }

  /** Authorizes, consents, logs in. @returns the parameters of the redirect back to the client */
  async answer (as = 'alice', scope = 'mcp'): Promise<Record<string, string>> {
    const browser = new Browser(url => url.href.startsWith(this.#client.redirectUri), this.service.fetch)
    const page = await logIn(browser, this.authorizationUrl(scope), as)
    return Object.fromEntries(redirectParameters(page, this.#client))
  }

  /** The whole way to tokens. @returns the token response */
  async logIn (as = 'alice', scope = 'mcp'): Promise<Json> {
    const { code, ...rest } = await this.answer(as, scope)
    if (code === undefined) {
      throw new Error(`No code: ${JSON.stringify(rest)} ${JSON.stringify(this.service.log.slice(-3))}`)
    }
    return this.#keep(await redeem(this.service, this.#client, code))
  }

  /** Asks for a refresh; keeps what it gives. */
  async refresh (): Promise<Answer> {
    const answer = await refresh(this.service, this.#client, this.refreshToken)
    if (answer.status === 200) this.#keep(answer)
    return answer
  }

  async revoke (token = this.refreshToken): Promise<number> {
    return (await revoke(this.service, this.#client, token)).status
  }

  /** Status of the MCP endpoint for the access token: 200, or 401 if it is dead. */
  async status (): Promise<number> {
    return (await callMcp(this.service, bearer(this.accessToken))).status
  }

  /** An MCP client, connected. */
  async connect (): Promise<Connection> {
    const client = new Client({ name: 'upstreams', version: '1.0.0' })
    const requestInit = { headers: { authorization: `Bearer ${this.accessToken}` } }
    const transport = new StreamableHTTPClientTransport(new URL(`${this.service.url}/mcp`), {
      requestInit,
      fetch: this.service.fetch
    })
    await client.connect(transport)
    return {
      call: async name => {
        const text = String(valueAt(await client.callTool({ name, arguments: {} }), 'content', 0, 'text') ?? '')
        return text.startsWith('{') ? parseObject(text) : { error: text }
      },
      close: () => client.close()
    }
  }

  /** What a tool tells: `whoami` or `upstream_token`. */
  async call (name: string): Promise<Json> {
    const connection = await this.connect()
    try {
      return await connection.call(name)
    } finally {
      await connection.close()
    }
  }

  #keep (answer: Answer): Json {
    ({ accessToken: this.accessToken, refreshToken: this.refreshToken } = parseTokens(answer))
    return answer.body
  }
}

export interface Connection {
  /** Calls a tool. @returns what it tells; `error` where it failed */
  call (name: string): Promise<Json>
  close (): Promise<void>
}

/** The whole flow: register, authorize, consent, log in, callback, token, whoami. */
export async function journey (service: Service, as = 'alice'): Promise<{ client: TestClient, whoami: Json }> {
  const client = await TestClient.register(service)
  await client.logIn(as)
  return { client, whoami: await client.call('whoami') }
}
