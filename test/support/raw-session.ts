import { setTimeout as delay } from 'node:timers/promises'
import * as z from 'zod'
import { Browser, logIn } from './browser.js'
import { parseJson } from './json.js'
import {
  authorizationUrl,
  parseTokens,
  redeem,
  redirectParameters,
  register,
  type Client,
  type Tokens
} from './oauth-flow.js'
import { readEvents } from './raw-http.js'

const PROTOCOL_VERSION = '2025-11-25'

/** What a client has from its login. */
export interface Login extends Tokens {
  client: Client
  /** The code that it was given for its tokens. */
  code: string
}

/** Registers a client at the service, unless one is given, and logs a person in. */
export async function logInAt (url: string, as = 'alice', known?: Client): Promise<Login> {
  const target = { url, fetch }
  const client = known ?? await register(target)
  const browser = new Browser(next => next.href.startsWith(client.redirectUri))
  const page = await logIn(browser, authorizationUrl(target, client), as)
  const parameters = redirectParameters(page, client)
  const code = parameters.get('code')
  if (code === null) throw new Error(`No code: ${parameters.toString()}`)
  return { client, code, ...parseTokens(await redeem(target, client, code)) }
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

/** Where a session sends its requests: a service, or what chooses one each time. */
export type Target = string | (() => string)

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
      headers: sessionHeaders(login),
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
    return await fetch(mcpUrl(url), {
      method: 'POST',
      headers: sessionHeaders(this.login, this.sessionId),
      body: JSON.stringify(message),
      ...signal && { signal }
    })
  }

  async get (url: Target, lastEventId?: string, signal?: AbortSignal): Promise<Response> {
    const { 'content-type': _, ...headers } = sessionHeaders(this.login, this.sessionId)
    return await fetch(mcpUrl(url), {
      headers: {
        ...headers,
        accept: 'text/event-stream',
        ...lastEventId !== undefined && { 'last-event-id': lastEventId }
      },
      ...signal && { signal }
    })
  }

  async delete (url: Target): Promise<Response> {
    return await fetch(mcpUrl(url), { method: 'DELETE', headers: sessionHeaders(this.login, this.sessionId) })
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

  /** Calls a tool, and follows the answer to its end wherever it continues. Never rejects. */
  async call (url: Target, name: string, input: Record<string, unknown> = {}): Promise<Outcome> {
    const message = this.toolCall(name, input)
    const signal = AbortSignal.timeout(GIVE_UP_MS)
    let response: Response
    try {
      response = await this.post(url, message, signal)
    } catch (error) {
      return { end: 'connection', message: causeText(error) }
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
      return toOutcome(parseJson(text, MESSAGE), false)
    } catch (error) {
      return { end: 'connection', message: causeText(error) }
    }
  }

  async #follow (url: Target, first: Response, id: number, signal: AbortSignal): Promise<Outcome> {
    let response = first
    let lastEventId: string | undefined
    for (let resumes = 0; ; resumes++) {
      try {
        for await (const event of readEvents(response)) {
          lastEventId = event.id ?? lastEventId
          const message: Message = event.data === '' ? {} : parseJson(event.data, MESSAGE)
          if (message.id === id && message.method === undefined) {
            await response.body?.cancel().catch(() => {})
            return toOutcome(message, resumes > 0)
          }
        }
      } catch (error) {
        if (signal.aborted) return { end: 'unanswered', message: `nothing for ${GIVE_UP_MS / 1000} s` }
        if (lastEventId === undefined) return { end: 'connection', message: causeText(error) }
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
        last = causeText(error)
      }
    }
    return { end: 'unanswered', message: `resumption, ${RESUMES} times: ${last}` }
  }
}

function mcpUrl (target: Target): string {
  return `${typeof target === 'string' ? target : target()}/mcp`
}

function sessionHeaders ({ accessToken }: Login, sessionId?: string): Record<string, string> {
  return {
    authorization: `Bearer ${accessToken}`,
    'content-type': 'application/json',
    accept: 'application/json, text/event-stream',
    ...sessionId !== undefined && { 'mcp-session-id': sessionId, 'mcp-protocol-version': PROTOCOL_VERSION }
  }
}

function toOutcome ({ result, error }: Message, resumed: boolean): Outcome {
  if (error !== undefined) return { end: 'error', ...error, resumed }
  return { end: 'result', text: result?.content?.[0]?.text ?? '', resumed }
}

function causeText (error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  return error.cause instanceof Error ? `${error.message}: ${error.cause.message}` : error.message
}
