import { setTimeout as delay } from 'node:timers/promises'
import { createHash } from 'node:crypto'
import * as z from 'zod'
import { Browser, logIn } from '../support/browser.js'
import { parseJson, parseObject } from '../support/json.js'

const REDIRECT_URI = 'http://localhost:3334/callback'
const VERIFIER = 'the-verifier-of-the-clients-of-the-replicas.0123456789'
const PROTOCOL_VERSION = '2025-11-25'

/** What a client has from its login. */
export interface Login {
  clientId: string
  accessToken: string
  refreshToken: string
  /** The request that its code was redeemed with. */
  codeExchange: Record<string, string>
}

/** The answer of an OAuth endpoint. */
export interface OAuthAnswer { status: number, retryAfter: string | null, body: Record<string, unknown> }

/** Registers a client at the service, and logs a person in. */
export async function logInAt (url: string, as = 'alice'): Promise<Login> {
  const registered = await fetch(`${url}/register`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      client_name: 'Replicas',
      redirect_uris: [REDIRECT_URI],
      token_endpoint_auth_method: 'none',
      grant_types: ['authorization_code', 'refresh_token']
    })
  })
  const { client_id: clientId } = parseObject(await registered.text())
  const parameters = {
    response_type: 'code',
    client_id: String(clientId),
    redirect_uri: REDIRECT_URI,
    state: 'state',
    code_challenge: createHash('sha256').update(VERIFIER).digest('base64url'),
    code_challenge_method: 'S256'
  }
  const end = await logIn(
    new Browser(target => target.href.startsWith(REDIRECT_URI)),
    `${url}/authorize?${new URLSearchParams(parameters).toString()}`,
    as
  )
  const code = end.url.searchParams.get('code')
  if (code === null) throw new Error(`The login ended at ${end.url.href} (${end.status}): ${end.html.slice(0, 500)}`)
  const codeExchange = {
    grant_type: 'authorization_code',
    code,
    code_verifier: VERIFIER,
    client_id: String(clientId),
    redirect_uri: REDIRECT_URI
  }
  const { status, body } = await postForm(`${url}/token`, codeExchange)
  if (status !== 200) throw new Error(`No token: ${status} ${JSON.stringify(body)}`)
  return {
    clientId: String(clientId),
    accessToken: String(body.access_token),
    refreshToken: String(body.refresh_token),
    codeExchange
  }
}

/** Posts a form to an OAuth endpoint. */
export async function postForm (url: string, fields: Record<string, string>): Promise<OAuthAnswer> {
  const response = await fetch(url, { method: 'POST', body: new URLSearchParams(fields) })
  const text = await response.text()
  return {
    status: response.status,
    retryAfter: response.headers.get('retry-after'),
    body: text.startsWith('{') ? parseObject(text) : {}
  }
}

/** How a call ended, as its client sees it. */
export type Outcome =
  | { end: 'result', text: string, resumed: boolean }
  /** A JSON-RPC error, which names the call. */
  | { end: 'error', code: number, message: string, resumed: boolean }
  /** Refused or failed with an HTTP status, or the connection broke before there was anything to resume from. */
  | { end: 'http', status: number, retryAfter: string | null, body: string }
  | { end: 'connection', message: string }
  /** The stream is over, or cannot be resumed, and there was no answer. */
  | { end: 'unanswered', message: string }

/** Where a session sends its requests: one place, or whichever it is told each time. */
export type Target = string | (() => string)

interface SseEvent { id: string | undefined, data: string }

const MESSAGE = z.object({
  id: z.unknown(),
  method: z.string().optional(),
  result: z.object({ content: z.array(z.object({ text: z.string().optional() })).optional() }).optional(),
  error: z.object({ code: z.number(), message: z.string() }).optional()
})
type Message = Partial<z.output<typeof MESSAGE>>

// a client that cannot reach anybody tries again, as those of the SDK do
const RESUME_MS = 100
const RESUMES = 100
const GIVE_UP_MS = 45_000

/** One session of a client that resumes its streams. It may talk to another replica each time. */
export class RawSession {
  readonly login: Login
  readonly sessionId: string
  #id = 0

  private constructor (login: Login, sessionId: string) {
    this.login = login
    this.sessionId = sessionId
  }

  static async open (url: string, login: Login): Promise<RawSession> {
    const response = await fetch(`${url}/mcp`, {
      method: 'POST',
      headers: headersOf(login),
      body: JSON.stringify({
        jsonrpc: '2.0',
        id: 0,
        method: 'initialize',
        params: {
          protocolVersion: PROTOCOL_VERSION,
          capabilities: {},
          clientInfo: { name: 'replicas', version: '1.0.0' }
        }
      })
    })
    const text = await response.text()
    const sessionId = response.headers.get('mcp-session-id')
    if (sessionId === null) throw new Error(`No session: ${response.status} ${text}`)
    const session = new RawSession(login, sessionId)
    await (await session.post(url, { jsonrpc: '2.0', method: 'notifications/initialized' })).text()
    return session
  }

  async post (url: Target, message: Record<string, unknown>, signal?: AbortSignal): Promise<Response> {
    return await fetch(endpointOf(url), {
      method: 'POST',
      headers: headersOf(this.login, this.sessionId),
      body: JSON.stringify(message),
      ...signal && { signal }
    })
  }

  async get (url: Target, lastEventId?: string, signal?: AbortSignal): Promise<Response> {
    const { 'content-type': _, ...headers } = headersOf(this.login, this.sessionId)
    return await fetch(endpointOf(url), {
      headers: {
        ...headers,
        accept: 'text/event-stream',
        ...lastEventId !== undefined && { 'last-event-id': lastEventId }
      },
      ...signal && { signal }
    })
  }

  async delete (url: Target): Promise<Response> {
    return await fetch(endpointOf(url), { method: 'DELETE', headers: headersOf(this.login, this.sessionId) })
  }

  /** The message that calls a tool. */
  toolCall (name: string, input: Record<string, unknown> = {}): Record<string, unknown> & { id: number } {
    const id = ++this.#id
    return {
      jsonrpc: '2.0',
      id,
      method: 'tools/call',
      params: { name, arguments: input, _meta: { progressToken: id } }
    }
  }

  /** Calls a tool, and follows the answer to its end wherever it goes on. Never rejects. */
  async call (url: Target, name: string, input: Record<string, unknown> = {}): Promise<Outcome> {
    const message = this.toolCall(name, input)
    const signal = AbortSignal.timeout(GIVE_UP_MS)
    let response: Response
    try {
      response = await this.post(url, message, signal)
    } catch (error) {
      return { end: 'connection', message: causeOf(error) }
    }
    if (response.headers.get('content-type')?.startsWith('text/event-stream') === true) {
      return await this.#follow(url, response, message.id, signal)
    }
    try {
      const text = await response.text()
      if (response.status !== 200) {
        return {
          end: 'http',
          status: response.status,
          retryAfter: response.headers.get('retry-after'),
          body: text.slice(0, 200)
        }
      }
      return outcomeOf(parseJson(text, MESSAGE), false)
    } catch (error) {
      return { end: 'connection', message: causeOf(error) }
    }
  }

  async #follow (url: Target, first: Response, id: number, signal: AbortSignal): Promise<Outcome> {
    let response = first
    let lastEventId: string | undefined
    for (let resumes = 0; ; resumes++) {
      try {
        for await (const event of eventsOf(response)) {
          lastEventId = event.id ?? lastEventId
          const message: Message = event.data === '' ? {} : parseJson(event.data, MESSAGE)
          if (message.id === id && message.method === undefined) {
            await response.body?.cancel().catch(() => {})
            return outcomeOf(message, resumes > 0)
          }
        }
      } catch (error) {
        if (signal.aborted) return { end: 'unanswered', message: `nothing for ${GIVE_UP_MS / 1000} s` }
        if (lastEventId === undefined) return { end: 'connection', message: causeOf(error) }
      }
      if (lastEventId === undefined) return { end: 'unanswered', message: 'the stream ended without an event' }
      const resumed = await this.#resume(url, lastEventId, signal)
      if (!(resumed instanceof Response)) return resumed
      response = resumed
    }
  }

  async #resume (url: Target, lastEventId: string, signal: AbortSignal): Promise<Response | Outcome> {
    let last = ''
    for (let tries = 0; tries < RESUMES; tries++) {
      await delay(RESUME_MS)
      try {
        const response = await this.get(url, lastEventId, signal)
        if (response.status === 200) return response
        last = `${response.status} ${await response.text()}`
        if (response.status === 204 || (response.status >= 400 && response.status < 500)) {
          return { end: 'unanswered', message: `resumption: ${last}` }
        }
      } catch (error) {
        last = causeOf(error)
      }
    }
    return { end: 'unanswered', message: `resumption, ${RESUMES} times: ${last}` }
  }
}

/** The events of an SSE response; those without data and id are left out. */
export async function * eventsOf (response: Response): AsyncGenerator<SseEvent, undefined> {
  let buffered = ''
  const decoder = new TextDecoder()
  const body: ReadableStream<Uint8Array> | null = response.body
  if (body === null) return
  for await (const chunk of body) {
    buffered += decoder.decode(chunk, { stream: true })
    for (let end = buffered.indexOf('\n\n'); end >= 0; end = buffered.indexOf('\n\n')) {
      const lines = buffered.slice(0, end).split('\n')
      buffered = buffered.slice(end + 2)
      const id = lines.find(line => line.startsWith('id: '))?.slice(4)
      const data = lines.find(line => line.startsWith('data: '))?.slice(6)
      if (id !== undefined || data !== undefined) yield { id, data: data ?? '' }
    }
  }
}

function endpointOf (target: Target): string {
  return `${typeof target === 'string' ? target : target()}/mcp`
}

function headersOf ({ accessToken }: Login, sessionId?: string): Record<string, string> {
  return {
    authorization: `Bearer ${accessToken}`,
    'content-type': 'application/json',
    accept: 'application/json, text/event-stream',
    ...sessionId !== undefined && { 'mcp-session-id': sessionId, 'mcp-protocol-version': PROTOCOL_VERSION }
  }
}

function outcomeOf ({ result, error }: Message, resumed: boolean): Outcome {
  if (error !== undefined) return { end: 'error', ...error, resumed }
  return { end: 'result', text: result?.content?.[0]?.text ?? '', resumed }
}

function causeOf (error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  return error.cause instanceof Error ? `${error.message}: ${error.cause.message}` : error.message
}
