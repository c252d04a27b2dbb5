import { CLIENT_CAPABILITIES_META_KEY } from '@modelcontextprotocol/client'
import { modernRequest } from '../../src/testing/modern-request.js'
import { parseObject } from './json.js'

export interface RawOptions {
  /** Empty: none. Default: `alice`. */
  token?: string
  capabilities?: Record<string, unknown>
  meta?: Record<string, unknown>
  signal?: AbortSignal
}

/** POSTs one request of revision 2026-07-28. */
export async function post (
  url: string,
  method: string,
  params: Record<string, unknown> = {},
  options: RawOptions = {}
): Promise<Response> {
  const {
    token = 'alice',
    capabilities = { elicitation: { form: {}, url: {} }, sampling: {}, roots: {} },
    meta,
    signal
  } = options
  const { headers, ...request } = modernRequest(7, method, params, {
    [CLIENT_CAPABILITIES_META_KEY]: capabilities,
    ...meta
  })
  return await fetch(`${url}/mcp`, {
    ...request,
    headers: { ...headers, ...token !== '' && { authorization: `Bearer ${token}` } },
    ...signal && { signal }
  })
}

/** The same, with its response: JSON, or the last message of the stream. */
export async function request (url: string, method: string, params?: Record<string, unknown>, options?: RawOptions) {
  const response = await post(url, method, params, options)
  const text = await response.text()
  const last = text.trimEnd().split('\n').at(-1) ?? ''
  const { result, error, id } = parseObject(last.replace(/^data: /, ''))
  return { status: response.status, result, error, id }
}

/** One event of an SSE response. */
export interface SseEvent {
  /** Empty if it has none. */
  data: string
  id?: string
  event?: string
  retry?: string
}

/** Reads an SSE response event by event; comments are left out. */
export async function * readEvents (response: Response): AsyncGenerator<SseEvent, undefined> {
  if (response.body === null) return
  let text = ''
  for await (const chunk of response.body.pipeThrough(new TextDecoderStream())) {
    text += chunk
    for (let end = text.indexOf('\n\n'); end >= 0; end = text.indexOf('\n\n')) {
      const lines = text.slice(0, end).split('\n').filter(line => !line.startsWith(':'))
      text = text.slice(end + 2)
      if (lines.length > 0) {
        const fields = lines.map(line =>
          [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1).trimStart()])
        yield { data: '', ...Object.fromEntries(fields) }
      }
    }
  }
}

/** The next of the events. */
export async function next (events: AsyncGenerator<SseEvent, undefined>): Promise<SseEvent> {
  const { value } = await events.next()
  if (value === undefined) throw new Error('the stream has ended')
  return value
}

/** The message of an event; undefined if it has none. */
export function parseData (event: SseEvent | undefined): unknown {
  return event === undefined || event.data === '' ? undefined : JSON.parse(event.data)
}
