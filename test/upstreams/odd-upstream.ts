import { createHash, randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage } from 'node:http'
import { text } from 'node:stream/consumers'
import { exportJWK, generateKeyPair, SignJWT } from 'jose'
import type { Test } from 'tap'

/** What our service may ask of an upstream. */
export type Endpoint = 'openid-configuration' | 'oauth-authorization-server' | 'authorize' | 'token' | 'register' | 'registration' | 'revoke' | 'userinfo' | 'user' | 'jwks'

/** A request as it came. `parameters` are those of the query, the form, or the JSON body. */
export interface OddRequest {
  endpoint: Endpoint
  method: string
  url: URL
  headers: IncomingMessage['headers']
  parameters: Readonly<Record<string, unknown>>
}

/** A body that is text is sent as it is, anything else as JSON. */
export interface OddAnswer {
  status: number
  headers?: Record<string, string>
  body?: unknown
  /** What becomes of the connection in the middle of the body. */
  then?: 'cut' | 'stall'
}

/** Takes the place of an endpoint; `usual` is what it would answer. */
export type Oddity = (request: OddRequest, usual: () => Promise<OddAnswer>) => OddAnswer | Promise<OddAnswer>

export interface OddClient {
  clientId: string
  /** Absent: a public client. */
  clientSecret?: string
  authMethod: string
  redirectUris: string[]
}

export interface OddUpstreamOptions {
  /** Path of the issuer, such as `/tenant` or `/tenant/`. */
  path?: string
  /** Where it describes itself. Default: by OpenID Connect Discovery. */
  discovery?: Array<'openid-configuration' | 'oauth-authorization-server'>
  /** Laid over its metadata; `undefined` leaves a member out. */
  metadata?: Record<string, unknown>
  /** Whether it issues ID tokens for `openid`. Default: true. */
  idTokens?: boolean
  /** Algorithm of the ID tokens. */
  algorithm?: 'RS256' | 'ES256'
  /** What the ID token tells besides `sub`. Default: name and email. */
  idTokenClaims?: (subject: string) => Record<string, unknown>
  /** Lifetime of access tokens; null: it does not say. Default: 600. */
  expiresIn?: number | null
  /** Whether it gives refresh tokens. Default: true. They rotate, and reuse ends the whole login. */
  refreshTokens?: boolean
  /** Access tokens. Default: opaque ones. */
  accessToken?: (subject: string) => string | Promise<string>
  oddities?: Partial<Record<Endpoint, Oddity>>
}

interface Login {
  subject: string
  scope: string
  nonce?: string
  clientId: string
  redirectUri: string
  codeChallenge: string
  ended: boolean
}

export const pkce = (verifier: string) => createHash('sha256').update(verifier).digest('base64url')
const error = (status: number, code: string): OddAnswer => ({ status, body: { error: code } })
const param = ({ parameters }: OddRequest, name: string): string => {
  const value = parameters[name]
  return typeof value === 'string' ? value : ''
}

/** An authorization server that keeps the rules, but for what a test makes it do. */
export class OddUpstream {
  /** Every request of its endpoints, oldest first. */
  readonly requests: OddRequest[] = []
  /** What its endpoints do instead; may change during a test. */
  readonly oddities: Partial<Record<Endpoint, Oddity>>
  readonly clients = new Map<string, OddClient>()
  readonly origin: string
  readonly issuer: string
  readonly #options: OddUpstreamOptions
  readonly #key: Awaited<ReturnType<typeof generateKeyPair>>
  readonly #pending = new Map<string, OddRequest>()
  readonly #codes = new Map<string, Login>()
  readonly #access = new Map<string, Login>()
  readonly #refresh = new Map<string, Login>()
  readonly #used = new Map<string, Login>()
  readonly #registrations = new Map<string, string>()

  constructor (origin: string, key: Awaited<ReturnType<typeof generateKeyPair>>, options: OddUpstreamOptions) {
    this.origin = origin
    this.issuer = origin + (options.path ?? '')
    this.oddities = { ...options.oddities }
    this.#options = options
    this.#key = key
  }

  /** Registers our service by hand. It is `us`, with the secret `shh`. */
  registerByHand (serviceUrl: string, { authMethod = 'client_secret_post', ...client }: Partial<OddClient> = {}): void {
    const clientSecret = authMethod === 'none' ? {} : { clientSecret: 'shh' }
    this.clients.set('us', { clientId: 'us', authMethod, redirectUris: [`${serviceUrl}/oauth/callback`], ...clientSecret, ...client })
  }

  /** Requests of one endpoint so far. */
  of (endpoint: Endpoint): OddRequest[] {
    return this.requests.filter(request => request.endpoint === endpoint)
  }

  /** Token requests of one grant type so far. */
  grants (grantType: 'authorization_code' | 'refresh_token'): OddRequest[] {
    return this.of('token').filter(({ parameters }) => parameters.grant_type === grantType)
  }

  /** Whether an access token of it still works. */
  isAlive (accessToken: string): boolean {
    return this.#access.get(accessToken)?.ended === false
  }

  /** Logs everybody out: their tokens are worth nothing any more. */
  endLogins (): void {
    for (const login of [...this.#access.values(), ...this.#refresh.values()]) login.ended = true
  }

  async answer (incoming: IncomingMessage): Promise<OddAnswer> {
    const url = new URL(incoming.url ?? '/', this.origin)
    const body = await text(incoming)
    const form = new URLSearchParams(incoming.method === 'GET' ? url.search : body)
    const json: unknown = incoming.headers['content-type']?.startsWith('application/json') === true ? JSON.parse(body) : undefined
    const parameters: Record<string, unknown> = typeof json === 'object' && json !== null ? { ...json } : Object.fromEntries(form)
    if (url.pathname === '/login') return this.#login(String(parameters.request), String(parameters.login))
    const endpoint = this.#endpointOf(url.pathname)
    if (endpoint === undefined) return { status: 404, headers: { 'content-type': 'text/html' }, body: '<h1>Not Found</h1>' }
    const request = { endpoint, method: incoming.method ?? '', url, headers: incoming.headers, parameters }
    this.requests.push(request)
    const usual = async () => await this.#usual(request)
    return await (this.oddities[endpoint]?.(request, usual) ?? usual())
  }

  #endpointOf (pathname: string): Endpoint | undefined {
    const { path = '', discovery = ['openid-configuration'] } = this.#options
    const issuerPath = path.replace(/\/$/, '')
    if (pathname === `${issuerPath}/.well-known/openid-configuration`) return discovery.includes('openid-configuration') ? 'openid-configuration' : undefined
    if (pathname === `/.well-known/oauth-authorization-server${issuerPath}`) return discovery.includes('oauth-authorization-server') ? 'oauth-authorization-server' : undefined
    const endpoints: Endpoint[] = ['authorize', 'token', 'register', 'revoke', 'userinfo', 'user', 'jwks']
    return endpoints.find(name => pathname === `/${name}`) ?? (pathname.startsWith('/registration/') ? 'registration' : undefined)
  }

  async #usual (request: OddRequest): Promise<OddAnswer> {
    switch (request.endpoint) {
      case 'openid-configuration': case 'oauth-authorization-server': return { status: 200, body: this.metadata() }
      case 'authorize': return this.#authorize(request)
      case 'token': return await this.#token(request)
      case 'register': return this.#register(request)
      case 'registration': return this.#registration(request)
      case 'revoke': return this.#revoke(request)
      case 'userinfo': return this.#userinfo(request, subject => ({ sub: subject, name: `${subject} of userinfo`, email: `${subject}@userinfo.example` }))
      case 'user': return this.#userinfo(request, subject => ({ id: subject.length + 1000, login: subject, name: `${subject} of user`, email: null }))
      case 'jwks': return { status: 200, body: { keys: [{ ...await exportJWK(this.#key.publicKey), use: 'sig', kid: 'odd' }] } }
    }
  }

  metadata (): Record<string, unknown> {
    const { metadata = {}, algorithm = 'RS256' } = this.#options
    const all: Record<string, unknown> = {
      issuer: this.issuer,
      authorization_endpoint: `${this.origin}/authorize`,
      token_endpoint: `${this.origin}/token`,
      registration_endpoint: `${this.origin}/register`,
      revocation_endpoint: `${this.origin}/revoke`,
      userinfo_endpoint: `${this.origin}/userinfo`,
      jwks_uri: `${this.origin}/jwks`,
      scopes_supported: ['openid', 'profile', 'email', 'offline_access'],
      response_types_supported: ['code'],
      token_endpoint_auth_methods_supported: ['client_secret_basic', 'client_secret_post', 'none'],
      id_token_signing_alg_values_supported: [algorithm],
      subject_types_supported: ['public'],
      code_challenge_methods_supported: ['S256'],
      ...metadata
    }
    return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined))
  }

  #authorize (request: OddRequest): OddAnswer {
    const client = this.clients.get(param(request, 'client_id'))
    // never redirect before these two are known
    if (client === undefined || !client.redirectUris.includes(param(request, 'redirect_uri'))) return { status: 400, body: 'unknown client or redirect_uri' }
    if (param(request, 'response_type') !== 'code') return this.redirect(request, { error: 'unsupported_response_type' })
    if (param(request, 'code_challenge_method') !== 'S256') return this.redirect(request, { error: 'invalid_request' })
    const id = randomUUID()
    this.#pending.set(id, request)
    return {
      status: 200,
      headers: { 'content-type': 'text/html' },
      body: `<form method="post" action="/login"><input type="hidden" name="request" value="${id}"><input name="login"><button>Log in</button></form>`
    }
  }

  #login (id: string, subject: string): OddAnswer {
    const request = this.#pending.get(id)
    if (request === undefined) return { status: 400, body: 'no such request' }
    this.#pending.delete(id)
    const code = randomUUID()
    const nonce = param(request, 'nonce')
    this.#codes.set(code, {
      subject,
      scope: param(request, 'scope'),
      clientId: param(request, 'client_id'),
      redirectUri: param(request, 'redirect_uri'),
      codeChallenge: param(request, 'code_challenge'),
      ended: false,
      ...nonce !== '' && { nonce }
    })
    return this.redirect(request, { code })
  }

  /** A redirect back to our service. */
  redirect (request: OddRequest, parameters: Record<string, string>): OddAnswer {
    const location = new URL(param(request, 'redirect_uri'))
    const iss = this.metadata().authorization_response_iss_parameter_supported === true ? { iss: this.issuer } : {}
    location.search = new URLSearchParams({ ...iss, ...parameters, state: param(request, 'state') }).toString()
    return { status: 302, headers: { location: location.href } }
  }

  /** The client of a request, by the one method it is registered for. */
  #clientOf (request: OddRequest): OddClient | undefined {
    const basic = /^Basic (.+)$/.exec(request.headers.authorization ?? '')?.[1]
    const [id = '', secret = ''] = basic === undefined
      ? [param(request, 'client_id'), param(request, 'client_secret')]
      : Buffer.from(basic, 'base64').toString().split(':').map(decodeURIComponent)
    const method = basic !== undefined ? 'client_secret_basic' : secret === '' ? 'none' : 'client_secret_post'
    const client = this.clients.get(id)
    return client !== undefined && client.authMethod === method && (client.clientSecret ?? '') === secret ? client : undefined
  }

  async #token (request: OddRequest): Promise<OddAnswer> {
    const client = this.#clientOf(request)
    if (client === undefined) return { ...error(401, 'invalid_client'), headers: { 'www-authenticate': 'Basic realm="odd"' } }
    const [login, refused] = param(request, 'grant_type') === 'refresh_token' ? this.#refreshed(request) : this.#redeemed(request)
    if (login === undefined || login.ended || login.clientId !== client.clientId) return refused
    return { status: 200, body: await this.#issue(login, param(request, 'grant_type') === 'refresh_token') }
  }

  #redeemed (request: OddRequest): [Login | undefined, OddAnswer] {
    const login = this.#codes.get(param(request, 'code'))
    this.#codes.delete(param(request, 'code'))
    const matches = login?.codeChallenge === pkce(param(request, 'code_verifier')) && login.redirectUri === param(request, 'redirect_uri')
    return [matches ? login : undefined, error(400, 'invalid_grant')]
  }

  #refreshed (request: OddRequest): [Login | undefined, OddAnswer] {
    const token = param(request, 'refresh_token')
    const replayed = this.#used.get(token)
    if (replayed !== undefined) replayed.ended = true
    const login = this.#refresh.get(token)
    this.#refresh.delete(token)
    if (login !== undefined) this.#used.set(token, login)
    return [login, error(400, 'invalid_grant')]
  }

  async #issue (login: Login, refreshed: boolean): Promise<Record<string, unknown>> {
    const { expiresIn = 600, refreshTokens = true, idTokens = true, accessToken = () => `odd-${randomUUID()}` } = this.#options
    const [access, refresh] = [await accessToken(login.subject), randomUUID()]
    this.#access.set(access, login)
    if (refreshTokens) this.#refresh.set(refresh, login)
    return {
      access_token: access,
      token_type: 'Bearer',
      scope: login.scope,
      ...expiresIn !== null && { expires_in: expiresIn },
      ...refreshTokens && { refresh_token: refresh },
      ...idTokens && !refreshed && login.scope.split(' ').includes('openid') && { id_token: await this.#idToken(login) }
    }
  }

  async #idToken ({ subject, clientId, nonce }: Login): Promise<string> {
    const { algorithm = 'RS256', idTokenClaims = (subject: string) => ({ name: `${subject} of the ID token`, email: `${subject}@id-token.example` }) } = this.#options
    const now = Math.floor(Date.now() / 1000)
    return await new SignJWT({ ...idTokenClaims(subject), ...nonce !== undefined && { nonce } })
      .setProtectedHeader({ alg: algorithm, kid: 'odd' }).setIssuer(this.issuer).setAudience(clientId).setSubject(subject).setIssuedAt(now).setExpirationTime(now + 300)
      .sign(this.#key.privateKey)
  }

  #register (request: OddRequest): OddAnswer {
    const { redirect_uris: redirectUris, token_endpoint_auth_method: authMethod } = request.parameters
    if (!Array.isArray(redirectUris)) return error(400, 'invalid_redirect_uri')
    const clientId = randomUUID()
    const [method, clientSecret, accessToken] = [typeof authMethod === 'string' ? authMethod : 'client_secret_basic', randomUUID(), randomUUID()]
    this.clients.set(clientId, { clientId, authMethod: method, redirectUris: redirectUris.map(String), ...method !== 'none' && { clientSecret } })
    this.#registrations.set(clientId, accessToken)
    return {
      status: 201,
      body: {
        ...request.parameters,
        client_id: clientId,
        token_endpoint_auth_method: method,
        ...method !== 'none' && { client_secret: clientSecret, client_secret_expires_at: 0 },
        registration_client_uri: `${this.origin}/registration/${clientId}`,
        registration_access_token: accessToken
      }
    }
  }

  #registration ({ method, url, headers }: OddRequest): OddAnswer {
    const clientId = url.pathname.slice('/registration/'.length)
    if (method !== 'DELETE' || headers.authorization !== `Bearer ${this.#registrations.get(clientId)}`) return { status: 401 }
    this.#registrations.delete(clientId)
    this.clients.delete(clientId)
    return { status: 204 }
  }

  #revoke (request: OddRequest): OddAnswer {
    if (this.#clientOf(request) === undefined) return error(401, 'invalid_client')
    const token = param(request, 'token')
    const login = this.#refresh.get(token) ?? this.#access.get(token)
    if (login !== undefined) login.ended = true
    return { status: 200 }
  }

  #userinfo ({ headers }: OddRequest, told: (subject: string) => Record<string, unknown>): OddAnswer {
    const login = this.#access.get(headers.authorization?.replace('Bearer ', '') ?? '')
    if (login === undefined || login.ended) return { status: 401, headers: { 'www-authenticate': 'Bearer error="invalid_token"' } }
    return { status: 200, body: told(login.subject) }
  }
}

const keys = new Map<string, ReturnType<typeof generateKeyPair>>()

/** One key of each algorithm does for all. */
async function keyFor (algorithm: string): ReturnType<typeof generateKeyPair> {
  const key = keys.get(algorithm) ?? generateKeyPair(algorithm)
  keys.set(algorithm, key)
  return await key
}

/** Starts one on a free port of loopback; ends it with the test. */
export async function startOddUpstream (t: Test, options: OddUpstreamOptions = {}): Promise<OddUpstream> {
  const server = createServer()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  const key = await keyFor(options.algorithm ?? 'RS256')
  const upstream = new OddUpstream(`http://localhost:${address.port}`, key, options)
  server.on('request', (incoming, response) => {
    upstream.answer(incoming).then(({ status, headers = {}, body = '', then }) => {
      response.writeHead(status, { ...typeof body !== 'string' && { 'content-type': 'application/json' }, ...headers })
      const text = typeof body === 'string' ? body : JSON.stringify(body)
      if (then === undefined) response.end(text)
      else response.write(text.slice(0, -1), () => { if (then === 'cut') response.destroy() })
    }, (error: unknown) => response.writeHead(500).end(String(error)))
  })
  t.teardown(async () => {
    const closed = once(server, 'close')
    server.close()
    server.closeAllConnections()
    await closed
  })
  return upstream
}
