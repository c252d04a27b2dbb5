import {
  ScriptableUpstream,
  type ReceivedRequest,
  type UpstreamAnswer,
  type UpstreamEndpoint,
  type UpstreamOverride
} from '../../../src/testing/index.js'
import { objectOf } from '../../support/json.js'
import { AskedRequests, findLast, type BackChannel, type LoginServer, type RunningLoginServer } from './login-server.js'
import type { Recipe } from './recipe.js'

/** How a login server differs from others, by its documentation. */
export interface Shape {
  name: string
  recipe: Recipe
  /** What fills in the recipe, besides the client. */
  values?: Readonly<Record<string, string>>
  /** Absent: OAuth 2 without OpenID Connect or discovery. */
  issuer?: string
  /** Where its endpoints are. */
  endpoints: Partial<Record<UpstreamEndpoint, string>>
  /** Laid over usual metadata; undefined leaves a member out. */
  metadata?: Readonly<Record<string, unknown>>
  /** The only way that its client may authenticate. */
  authMethod: 'client_secret_basic' | 'client_secret_post'
  lifetimeSeconds: number | null
  refreshes: boolean
  /** Whether a refresh gives another refresh token. */
  rotates?: boolean
  /** Whether ID tokens have the nonce. Default: true. */
  nonce?: boolean
  /** Who alice is there. */
  subject: string
  /** Of ID tokens, besides those that all have; absent: there are none. */
  idToken?: Readonly<Record<string, unknown>>
  userinfo: Readonly<Record<string, unknown>>
  /** Whether a rule of the recipe looks at what only userinfo says. */
  needsUserinfo?: boolean
  /** What else it says of alice, by URL without query: for her access token, if the scope was asked for. */
  further?: Readonly<Record<string, FurtherAnswer>>
  /** What token responses have besides what all have, or in its place. */
  tokens?: Readonly<Record<string, unknown>>
  /** What it answers to a code that is no longer good, to a refresh that must not be, and to a wrong secret. */
  refusals: { code: UpstreamAnswer, refresh: UpstreamAnswer, secret: UpstreamAnswer }
  /** What the browser brings back if a person cancels. */
  cancelled: Readonly<Record<string, string>>
  /** What else is peculiar. */
  peculiar?: Partial<Record<'authorize' | 'token', (upstream: ScriptableUpstream) => UpstreamOverride>>
}

export interface FurtherAnswer {
  scope: string
  body: unknown
}

const ENDPOINTS: Partial<Record<UpstreamEndpoint, BackChannel>> = {
  'openid-configuration': 'discovery',
  'oauth-authorization-server': 'discovery',
  register: 'register',
  token: 'token',
  userinfo: 'userinfo',
  user: 'userinfo',
  revoke: 'revoke'
}

/** The login server of a shape. */
export function shaped (shape: Shape): LoginServer {
  const { name, recipe, subject, refreshes, endpoints } = shape
  return {
    name,
    recipe,
    subject,
    refreshes,
    run: 'in the shape of its documentation',
    revokes: endpoints.revoke !== undefined,
    forges: shape.idToken !== undefined,
    needsUserinfo: shape.idToken === undefined || shape.needsUserinfo === true,
    hasSecret: recipe.without === undefined && endpoints.register === undefined,
    start: async () => new ShapedServer(shape)
  }
}

export class ShapedServer implements RunningLoginServer {
  readonly asked = new AskedRequests()
  readonly down = new Set<BackChannel>()
  readonly fetch: typeof fetch
  readonly lifetimeSeconds: number
  readonly values: Readonly<Record<string, string>>
  /** A test may change it. */
  readonly further: Record<string, FurtherAnswer>
  /** Laid over what it says of alice from now on. */
  readonly changed: Record<string, unknown> = {}
  readonly #shape: Shape
  readonly #upstream: ScriptableUpstream
  #forged: Readonly<Record<string, unknown>> = {}
  #isCancelled = false
  /** The refresh token behind one that does not change. */
  readonly #behind = new Map<string, string>()

  constructor (shape: Shape) {
    this.#shape = shape
    this.further = { ...shape.further }
    const { issuer = 'https://login.test', endpoints, metadata = {}, lifetimeSeconds } = shape
    const { origin } = new URL(issuer)
    this.lifetimeSeconds = lifetimeSeconds ?? 0
    this.values = { OAUTH_CLIENT_ID: 'us', OAUTH_CLIENT_SECRET: 'shh', ...shape.values }
    this.#upstream = new ScriptableUpstream({
      origin,
      path: issuer.slice(origin.length),
      algorithm: 'RS256',
      idTokens: false,
      expiresIn: lifetimeSeconds,
      refreshTokens: shape.refreshes,
      ...shape.issuer === undefined && { discovery: [] },
      metadata: {
        authorization_endpoint: endpoints.authorize,
        token_endpoint: endpoints.token,
        registration_endpoint: endpoints.register,
        revocation_endpoint: endpoints.revoke,
        userinfo_endpoint: endpoints.userinfo,
        jwks_uri: endpoints.jwks,
        ...metadata
      },
      overrides: {
        authorize: (request, usual) => this.#authorize(request, usual),
        token: (request, usual) => this.#token(request, usual),
        userinfo: (_request, usual) => this.#userinfo(usual),
        user: (_request, usual) => this.#userinfo(usual)
      }
    })
    this.fetch = (input, init) => this.#serve(new URL(String(input)), init)
  }

  /** Of the last login. */
  get askedScopes (): string {
    return String(findLast(this.#upstream.requests, 'authorize')?.parameters.scope)
  }

  register (callbackUrl: string): void {
    const { authMethod } = this.#shape
    this.#upstream.clients.addByHand(new URL(callbackUrl).origin, { authMethod, redirectUris: [callbackUrl] })
  }

  cancelLogins (): void { this.#isCancelled = true }
  endLogins (): void { this.#upstream.endLogins() }
  forge (claims: Record<string, unknown>): void { this.#forged = claims }

  restore (): void {
    this.down.clear()
    this.asked.clear()
    this.#forged = {}
    this.#isCancelled = false
  }

  /** Its endpoints stand where they stand in its documentation, and nowhere else. */
  async #serve (url: URL, init?: RequestInit): Promise<Response> {
    const { origin } = this.#upstream
    const further = this.further[url.origin + url.pathname]
    if (further !== undefined) return await this.#serveFurther(further, init)
    const [endpoint] = Object.entries(this.#shape.endpoints).find(([, at]) => at === url.origin + url.pathname) ?? []
    const isPage = url.pathname === '/login'
    const isDiscovery = endpoint === undefined && url.origin === origin && url.pathname.includes('/.well-known/')
    if (endpoint === undefined && !isPage && !isDiscovery) return new Response('Not Found', { status: 404 })
    const path = endpoint === undefined ? url.pathname : `/${endpoint}`
    const target = `${origin}${path}${url.search}`
    const asked = isDiscovery ? 'discovery' : ENDPOINTS[isEndpoint(endpoint) ? endpoint : 'authorize']
    if (asked === undefined) return await this.#upstream.fetch(target, init)
    if (this.down.has(asked)) throw new TypeError('fetch failed', { cause: new Error(`${url.host} is down`) })
    const response = await this.#upstream.fetch(target, init)
    this.asked.add(asked, response.status)
    return response
  }

  async #serveFurther ({ scope, body }: FurtherAnswer, init?: RequestInit): Promise<Response> {
    if (this.down.has('groups')) throw new TypeError('fetch failed', { cause: new Error('the API is down') })
    const asked = this.askedScopes.split(' ')
    const isBearer = /^Bearer [^ ]+$/.test(new Headers(init?.headers).get('authorization') ?? '')
    const status = !isBearer ? 401 : asked.includes(scope) ? 200 : 403
    this.asked.add('groups', status)
    return Response.json(status === 200 ? body : { message: 'Resource not accessible' }, { status })
  }

  async #authorize (request: ReceivedRequest, usual: () => Promise<UpstreamAnswer>): Promise<UpstreamAnswer> {
    const { cancelled, peculiar } = this.#shape
    if (this.#isCancelled) return this.#upstream.redirect(request, cancelled)
    return await (peculiar?.authorize?.(this.#upstream)(request, usual) ?? usual())
  }

  async #token (request: ReceivedRequest, usual: () => Promise<UpstreamAnswer>): Promise<UpstreamAnswer> {
    const { refusals, peculiar, rotates = true, tokens } = this.#shape
    const isRefresh = request.parameters.grant_type === 'refresh_token'
    const sent = String(request.parameters.refresh_token)
    if (isRefresh) Object.assign(request.parameters, { refresh_token: this.#behind.get(sent) ?? sent })
    const answer = await (peculiar?.token?.(this.#upstream)(request, usual) ?? usual())
    if (answer.status === 401) return refusals.secret
    if (answer.status === 400) return isRefresh ? refusals.refresh : refusals.code
    const { refresh_token: next, ...body } = objectOf(answer.body)
    const isSame = isRefresh && !rotates
    if (isSame) this.#behind.set(sent, String(next))
    const refreshed = next !== undefined && !isSame && { refresh_token: next }
    return { ...answer, body: { ...body, ...refreshed, ...await this.#idToken(isRefresh), ...tokens } }
  }

  async #idToken (isRefresh: boolean): Promise<{ id_token?: string }> {
    const { idToken, nonce: hasNonce = true, subject } = this.#shape
    if (idToken === undefined) return {}
    const { client_id: aud, nonce } = findLast(this.#upstream.requests, 'authorize')?.parameters ?? {}
    const claims = {
      aud: String(aud),
      sub: subject,
      ...idToken,
      ...this.changed,
      ...hasNonce && !isRefresh && { nonce: String(nonce) },
      ...this.#forged
    }
    return { id_token: await this.#upstream.sign(claims, 3600) }
  }

  async #userinfo (usual: () => Promise<UpstreamAnswer>): Promise<UpstreamAnswer> {
    const answer = await usual()
    return answer.status === 200 ? { status: 200, body: { ...this.#shape.userinfo, ...this.changed } } : answer
  }
}

function isEndpoint (name: string | undefined): name is UpstreamEndpoint {
  return name !== undefined && name in ENDPOINTS
}
