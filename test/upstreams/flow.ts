import { createHash } from 'node:crypto'
import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js'
import Fastify, { type FastifyInstance } from 'fastify'
import type { Test } from 'tap'
import * as z from 'zod'
import type { CreateServer } from '../../src/mcp/create-server.js'
import { mcpService } from '../../src/service/mcp-service.js'
import type { BrokerModeOptions } from '../../src/service/plugin-options.js'
import type { UpstreamOptions } from '../../src/oauth/options.js'
import { createMemoryStores } from '../../src/stores/memory/stores.js'
import { injectFetch } from '../../src/testing/index.js'
import { Browser, logIn, type Page } from '../support/browser.js'
import { parseObject, textAt, valueAt } from '../support/json.js'

export const SCOPES = ['openid', 'profile', 'email', 'offline_access']
const REDIRECT_URI = 'http://localhost:3334/callback'
const VERIFIER = 'the-verifier-of-the-client-of-the-tests.0123456789'

/** A member of a JSON answer. */
export type Json = Record<string, unknown>

/** Our service in front of some upstream. */
export interface Service {
  app: FastifyInstance
  url: string
  /** The way to it, and to the upstream. */
  fetch: typeof fetch
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
  await app.register(mcpService, {
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

/** A clock for the service and the upstream that a test can put forward. */
export function clock (t: Test): { forward (seconds: number): void } {
  const now = Date.now
  let ms = 0
  t.intercept(Date, 'now', { value: () => now() + ms })
  return { forward: seconds => { ms += seconds * 1000 } }
}

export async function post (
  { url, fetch }: Service,
  path: string,
  body: Record<string, string>
): Promise<{ status: number, headers: Headers, body: Json }> {
  const response = await fetch(url + path, { method: 'POST', body: new URLSearchParams(body) })
  const text = await response.text()
  return { status: response.status, headers: response.headers, body: text === '' ? {} : parseObject(text) }
}

/** A client of the service, with a person and a browser. */
export class TestClient {
  readonly service: Service
  readonly clientId: string
  accessToken = ''
  refreshToken = ''

  private constructor (service: Service, clientId: string) {
    this.service = service
    this.clientId = clientId
  }

  static async register (service: Service): Promise<TestClient> {
    const response = await service.fetch(`${service.url}/register`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({
        client_name: 'Test client',
        redirect_uris: [REDIRECT_URI],
        token_endpoint_auth_method: 'none'
      })
    })
    return new TestClient(service, textAt(parseObject(await response.text()), 'client_id'))
  }

  /** The same client, with its tokens, at another replica of the service. */
  at (service: Service): TestClient {
    const client = new TestClient(service, this.clientId)
    client.accessToken = this.accessToken
    client.refreshToken = this.refreshToken
    return client
  }

  authorizationUrl (scope = 'mcp'): string {
    return `${this.service.url}/authorize?` + new URLSearchParams({
      response_type: 'code',
      client_id: this.clientId,
      redirect_uri: REDIRECT_URI,
      state: 'state of the client',
      code_challenge: createHash('sha256').update(VERIFIER).digest('base64url'),
      code_challenge_method: 'S256',
      scope
    }).toString()
  }

  /** Authorizes, consents, logs in. @returns where that ended */
  async authorize (as = 'alice', scope = 'mcp'): Promise<Page> {
    return await logIn(
      new Browser(url => url.href.startsWith(REDIRECT_URI), this.service.fetch),
      this.authorizationUrl(scope),
      as
    )
  }

  /** The same, to the parameters of the redirect back to the client. */
  async answer (as = 'alice', scope = 'mcp'): Promise<Record<string, string>> {
    const { url, status, html } = await this.authorize(as, scope)
    if (!url.href.startsWith(REDIRECT_URI)) throw new Error(`The login ended at ${url.href} (${status}): ${html}`)
    return Object.fromEntries(url.searchParams)
  }

  /** The whole way to tokens. @returns the token response */
  async logIn (as = 'alice', scope = 'mcp'): Promise<Json> {
    const { code, ...rest } = await this.answer(as, scope)
    if (code === undefined) {
      throw new Error(`No code: ${JSON.stringify(rest)} ${JSON.stringify(this.service.log.slice(-3))}`)
    }
    const { status, body } = await post(this.service, '/token', {
      grant_type: 'authorization_code',
      code,
      code_verifier: VERIFIER,
      client_id: this.clientId
    })
    if (status !== 200) throw new Error(`No tokens: ${JSON.stringify(body)}`)
    return this.#keep(body)
  }

  /** Asks for a refresh; keeps what it gives. */
  async refresh (): Promise<{ status: number, headers: Headers, body: Json }> {
    const answer = await post(this.service, '/token', {
      grant_type: 'refresh_token',
      refresh_token: this.refreshToken,
      client_id: this.clientId
    })
    if (answer.status === 200) this.#keep(answer.body)
    return answer
  }

  async revoke (token = this.refreshToken): Promise<number> {
    return (await post(this.service, '/revoke', { token, client_id: this.clientId })).status
  }

  /** Status of the MCP endpoint for the access token: 200, or 401 where it is dead. */
  async status (): Promise<number> {
    const response = await this.service.fetch(`${this.service.url}/mcp`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${this.accessToken}`,
        'content-type': 'application/json',
        accept: 'application/json, text/event-stream'
      },
      body: JSON.stringify({
        jsonrpc: '2.0',
        id: 1,
        method: 'initialize',
        params: { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'status', version: '1' } }
      })
    })
    await response.text()
    return response.status
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

  #keep (body: Json): Json {
    this.accessToken = String(body.access_token)
    this.refreshToken = String(body.refresh_token)
    return body
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
