import { createHash } from 'node:crypto'
import { Browser, logIn, type Page } from './browser.js'
import { parseObject } from './json.js'

/** A service, wherever it runs. */
export interface Reachable {
  /** Origin of the service. */
  url: string
  /** The way to it. */
  fetch: typeof fetch
}

/** A service that people can log in to. */
export interface LoginTarget extends Reachable {
  /** Its upstream; `fetch` is the way to both. */
  upstream: { issuer: string }
}

/** A client of the service. */
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

  /** Its JSON object; empty if it has none. */
  get body (): Record<string, unknown> {
    const isJson = /^application\/json\b/.test(this.headers.get('content-type') ?? '')
    return isJson ? parseObject(this.text) : {}
  }

  /** A text in its JSON; undefined if there is none of that name. */
  member (name: string): string | undefined {
    const value = this.body[name]
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
  { fetch }: Pick<Reachable, 'fetch'>,
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

export function s256Challenge (verifier: string): string {
  return createHash('sha256').update(verifier).digest('base64url')
}

/** Where a client sends the person. */
export function authorizationUrl (target: Reachable, client: Client, parameters: Parameters = {}): URL {
  const url = new URL(`${target.url}/authorize`)
  url.search = form({
    response_type: 'code',
    client_id: client.clientId,
    redirect_uri: client.redirectUri,
    state: STATE,
    code_challenge: s256Challenge(VERIFIER),
    code_challenge_method: 'S256',
    resource: `${target.url}/mcp`,
    scope: 'mcp',
    ...parameters
  }).toString()
  return url
}

/** A browser whose journey ends when it leaves the service and its upstream. */
export function openBrowser ({ url, upstream, fetch }: LoginTarget): Browser {
  return new Browser(next => next.origin !== new URL(url).origin && next.origin !== upstream.issuer, fetch)
}

/** A person logs in for a client. @returns the parameters of the redirect back to the client */
export async function authorize (
  target: LoginTarget,
  client: Client,
  { parameters = {}, browser = openBrowser(target), as = 'alice' }: {
    parameters?: Parameters
    browser?: Browser
    as?: string
  } = {}
): Promise<URLSearchParams> {
  return redirectParameters(await logIn(browser, authorizationUrl(target, client, parameters), as), client)
}

/**
 * The parameters of the redirect back to the client; somebody who may not use the service returns by the page's link.
 * @throws {Error} if the login ended elsewhere
 */
export function redirectParameters (page: Page, { redirectUri }: Client): URLSearchParams {
  const { url, status, html, document } = page
  const back = status === 403 ? document.querySelector('form a.button')?.getAttribute('href') : undefined
  if (back?.startsWith(redirectUri) === true) return new URL(back).searchParams
  if (!isAt({ url, status }, redirectUri)) throw new Error(`The login ended at ${url.href} (${status}): ${html}`)
  return url.searchParams
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
export async function newCode (target: LoginTarget, client: Client, parameters: Parameters = {}): Promise<string> {
  const answer = await authorize(target, client, { parameters })
  const code = answer.get('code')
  if (code === null) throw new Error(`No code: ${answer}`)
  return code
}

/** Whether a journey ended at a redirect to this URI. */
export function isAt (page: Pick<Page, 'url' | 'status'>, redirectUri: string): boolean {
  return page.status >= 300 && page.status < 400 && page.url.href.split('?')[0] === redirectUri.split('?')[0]
}

function clientCredentials ({ clientId, clientSecret }: Client): Parameters {
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
    ...clientCredentials(client),
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
    ...clientCredentials(client),
    ...parameters
  })
}

export async function revoke (
  target: Reachable,
  client: Client,
  token: string,
  parameters: Parameters = {}
): Promise<Answer> {
  return await post(target, '/revoke', { token, ...clientCredentials(client), ...parameters })
}

export function parseTokens (answer: Answer): Tokens {
  const [accessToken, refreshToken] = [answer.member('access_token'), answer.member('refresh_token')]
  if (accessToken === undefined || refreshToken === undefined) {
    throw new Error(`No tokens (${answer.status}): ${answer.text}`)
  }
  return { accessToken, refreshToken }
}

/** Tokens of a new login. */
export async function newTokens (target: LoginTarget, client: Client): Promise<Tokens> {
  return parseTokens(await redeem(target, client, await newCode(target, client)))
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

/** A secret that differs from another in its last character, which may be any. */
export function withOtherEnd (secret: string): string {
  return secret.replace(/.$/, last => last === 'A' ? 'B' : 'A')
}
