/**
 * What may be asked of the scriptable upstream.
 * @example
 * ```ts
 * import { ScriptableUpstream, type UpstreamEndpoint } from 'fastify-mcp-oauth/testing'
 *
 * const upstream = new ScriptableUpstream()
 * const endpoints: UpstreamEndpoint[] = ['openid-configuration', 'jwks', 'token']
 * for (const endpoint of endpoints) console.log(endpoint, upstream.asked(endpoint).length)
 * ```
 */
export type UpstreamEndpoint =
  | 'openid-configuration'
  | 'oauth-authorization-server'
  | 'jwks'
  | 'authorize'
  | 'token'
  | 'register'
  | 'registration'
  | 'revoke'
  | 'userinfo'
  | 'user'

/**
 * A request as the scriptable upstream received it.
 * @example
 * ```ts
 * import { ScriptableUpstream, type ReceivedRequest } from 'fastify-mcp-oauth/testing'
 *
 * const upstream = new ScriptableUpstream()
 * const isRefresh = ({ parameters }: ReceivedRequest) => parameters.grant_type === 'refresh_token'
 * console.log(upstream.requests.filter(isRefresh).length)
 * ```
 */
export interface ReceivedRequest {
  /** Which endpoint it came to. */
  endpoint: UpstreamEndpoint
  /** Of HTTP, such as `POST`. */
  method: string
  /** With its query. */
  url: URL
  /** By their names in lower case. */
  headers: Record<string, string>
  /** Of the query, the form, or the JSON body. */
  parameters: Readonly<Record<string, unknown>>
}

/**
 * A response of the scriptable upstream. A `body` that is text is sent as it is, anything else as JSON.
 * @example
 * ```ts
 * import { ScriptableUpstream, type UpstreamAnswer } from 'fastify-mcp-oauth/testing'
 *
 * const busy: UpstreamAnswer = { status: 503, headers: { 'retry-after': '5' }, body: 'Try again later.' }
 * export const upstream = new ScriptableUpstream({ overrides: { token: () => busy } })
 * ```
 */
export interface UpstreamAnswer {
  /** Of HTTP. */
  status: number
  /** Besides the content type of a JSON body. */
  headers?: Record<string, string>
  /** A text is sent as it is, anything else as JSON. Default: empty. */
  body?: unknown
  /** What becomes of the connection in the middle of the body. */
  then?: 'cut' | 'stall'
}

/**
 * Takes the place of an endpoint; `usual` is what it would answer.
 * @example
 * ```ts
 * import { ScriptableUpstream, type UpstreamOverride } from 'fastify-mcp-oauth/testing'
 *
 * const refuseRefresh: UpstreamOverride = async ({ parameters }, usual) =>
 *   parameters.grant_type === 'refresh_token' ? { status: 400, body: { error: 'invalid_grant' } } : await usual()
 *
 * const upstream = new ScriptableUpstream()
 * upstream.overrides.token = refuseRefresh
 * ```
 */
export type UpstreamOverride = (
  request: ReceivedRequest,
  usual: () => Promise<UpstreamAnswer>
) => UpstreamAnswer | Promise<UpstreamAnswer>

/** Reads the parameters of a request. */
export async function readParameters (request: Request): Promise<Record<string, unknown>> {
  const body = await request.text()
  const type = request.headers.get('content-type') ?? ''
  if (!type.startsWith('application/json')) {
    return Object.fromEntries(new URLSearchParams(request.method === 'GET' ? new URL(request.url).search : body))
  }
  const json: unknown = JSON.parse(body)
  return typeof json === 'object' && json !== null ? { ...json } : {}
}

/** A parameter that is text; empty if there is none. */
export function param ({ parameters }: ReceivedRequest, name: string): string {
  const value = parameters[name]
  return typeof value === 'string' ? value : ''
}

/** An OAuth error (RFC 6749 5.2). */
export function errorAnswer (status: number, code: string): UpstreamAnswer {
  return { status, body: { error: code } }
}

/** The answer on the wire. */
export function toResponse ({ status, headers = {}, body = '', then }: UpstreamAnswer): Response {
  const init = {
    status,
    headers: { ...typeof body !== 'string' && { 'content-type': 'application/json' }, ...headers }
  }
  const text = typeof body === 'string' ? body : JSON.stringify(body)
  if (then === undefined) return new Response(text === '' ? null : text, init)
  const stream = new ReadableStream<Uint8Array>({
    start (controller) { controller.enqueue(new TextEncoder().encode(text.slice(0, -1))) },
    pull (controller) { if (then === 'cut') controller.error(new TypeError('terminated')) }
  }, { highWaterMark: 0 })
  return new Response(stream, init)
}

/** The endpoint at a path; undefined if there is none. */
export function findEndpoint (
  pathname: string,
  { path = '', discovery = ['openid-configuration'] }: { path?: string, discovery?: readonly UpstreamEndpoint[] }
): UpstreamEndpoint | undefined {
  const issuerPath = path.replace(/\/$/, '')
  if (pathname === `${issuerPath}/.well-known/openid-configuration`) {
    return discovery.includes('openid-configuration') ? 'openid-configuration' : undefined
  }
  if (pathname === `/.well-known/oauth-authorization-server${issuerPath}`) {
    return discovery.includes('oauth-authorization-server') ? 'oauth-authorization-server' : undefined
  }
  const endpoints: UpstreamEndpoint[] = ['authorize', 'token', 'register', 'revoke', 'userinfo', 'user', 'jwks']
  return endpoints.find(name => pathname === `/${name}`) ??
    (pathname.startsWith('/registration/') ? 'registration' : undefined)
}

/** The page where a person logs in, for the request of that id. */
export function loginPage (id: string): UpstreamAnswer {
  return {
    status: 200,
    headers: { 'content-type': 'text/html' },
    body:
      `<form method="post" action="/login"><input type="hidden" name="request" value="${id}">` +
      '<input name="login"><button>Log in</button></form>'
  }
}
