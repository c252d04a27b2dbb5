import { request as httpRequest, type IncomingHttpHeaders, type IncomingMessage } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { isIP } from 'node:net'
import { OAuthError } from '../errors.js'
import { isObject } from '../members.js'
import type { Proxy } from '../outbound/proxy.js'

export interface Probe {
  method?: 'GET' | 'POST' | 'DELETE' | 'OPTIONS'
  /** `host` takes the place of that of the URL. */
  headers?: Record<string, string>
  /** Sent as JSON. */
  body?: unknown
  /** The proxy to the internet. */
  proxy?: Proxy | undefined
}

export interface Reply {
  status: number
  headers: IncomingHttpHeaders
  body: string
}

/** What came of a stream that was watched. */
export interface Watched {
  status: number
  headers: IncomingHttpHeaders
  /** Time to the first byte of the body; undefined if none came. */
  firstByteMs: number | undefined
  /** When the other side ended it; undefined if it did not. */
  endedMs: number | undefined
  /** Pieces that came after the first. */
  later: number
}

const TIMEOUT_MS = 10_000
const MAX_BODY_BYTES = 1_048_576

/** Makes one request on its own connection, so that a load balancer chooses again. Does not follow redirects. */
export async function send (url: URL, probe: Probe = {}): Promise<Reply> {
  const response = await open(url, probe)
  const chunks: Buffer[] = []
  let bytes = 0
  const body: AsyncIterable<Buffer> = response
  for await (const chunk of body) {
    chunks.push(chunk)
    bytes += chunk.length
    if (bytes > MAX_BODY_BYTES) throw new Error(`${url.href} sends more than ${MAX_BODY_BYTES} bytes`)
  }
  return { status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(chunks).toString() }
}

/** Watches a stream for `ms` from its first byte on, or until it ends. Gives up after `silenceMs` without that. */
export async function watch (
  url: URL,
  headers: Record<string, string>,
  { silenceMs, ms }: { silenceMs: number, ms: number }
): Promise<Watched> {
  const begun = performance.now()
  const since = () => Math.round(performance.now() - begun)
  const response = await open(url, { headers }, silenceMs).catch((error: unknown) => {
    if (error instanceof SilenceError) return undefined
    throw error
  })
  if (response === undefined) return { status: 0, headers: {}, firstByteMs: undefined, endedMs: undefined, later: 0 }
  const { statusCode: status = 0, headers: received } = response
  let [firstByteMs, endedMs]: Array<number | undefined> = []
  let later = 0
  await new Promise<void>(resolve => {
    let timer = setTimeout(resolve, silenceMs)
    response.on('data', () => {
      if (firstByteMs !== undefined) {
        later++
        return
      }
      firstByteMs = since()
      clearTimeout(timer)
      timer = setTimeout(resolve, ms)
    })
    response.once('close', () => {
      clearTimeout(timer)
      resolve()
    })
    response.once('error', () => {})
    response.once('end', () => { endedMs = since() })
    response.once('aborted', () => { endedMs = since() })
  })
  const watched = { status, headers: received, firstByteMs, endedMs, later }
  response.destroy()
  return watched
}

/** No answer came in time. */
class SilenceError extends Error {}

async function open (
  url: URL,
  { method = 'GET', headers = {}, body, proxy }: Probe,
  timeoutMs = TIMEOUT_MS
): Promise<IncomingMessage> {
  const payload = body === undefined ? undefined : JSON.stringify(body)
  const options = {
    method,
    agent: false,
    headers: {
      ...headers,
      ...payload !== undefined && { 'content-type': 'application/json', 'content-length': Buffer.byteLength(payload) }
    }
  }
  const tunnel = proxy?.covers(url) === true ? await proxy.connect(url, AbortSignal.timeout(timeoutMs)) : undefined
  const request = url.protocol === 'https:'
    ? httpsRequest(url, {
      ...options,
      ...tunnel !== undefined && { agent: undefined, defaultPort: 443, createConnection: () => tunnel },
      // otherwise Node.js takes the name from the header Host, which some checks replace
      servername: isIP(url.hostname.replace(/^\[|\]$/g, '')) === 0 ? url.hostname : ''
    })
    : httpRequest(url, options)
  return await new Promise<IncomingMessage>((resolve, reject) => {
    const timeout = setTimeout(() => {
      request.destroy(new SilenceError(`no answer within ${timeoutMs / 1000} s`))
    }, timeoutMs)
    request.once('response', response => {
      clearTimeout(timeout)
      resolve(response)
    })
    request.once('error', error => {
      clearTimeout(timeout)
      reject(error)
    })
    request.end(payload)
  })
}

/** The members of a JSON object; undefined where the text is none. */
export function parseObject (text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return isObject(value) ? { ...value } : undefined
  } catch {
    return undefined
  }
}

export function toMessage (error: unknown): string {
  if (error instanceof AggregateError) return error.errors.map(toMessage).join('; ')
  return error instanceof Error ? error.message : String(error)
}

/** What a log would say of an error. */
export function toReason (error: unknown): string {
  return error instanceof OAuthError ? error.detail ?? error.message : toMessage(error)
}
