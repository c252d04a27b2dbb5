import type { InjectOptions, LightMyRequestResponse } from 'fastify'

/**
 * A Fastify app, as far as requests without a network need it.
 * @example
 * ```ts
 * import { injectFetch, type InjectableApp } from 'fastify-mcp-oauth/testing'
 *
 * export async function isHealthy (app: InjectableApp): Promise<boolean> {
 *   const response = await injectFetch(app)('http://localhost/healthz')
 *   return response.ok
 * }
 * ```
 */
export interface InjectableApp {
  /** That of Fastify. */
  inject (options: InjectOptions): Promise<LightMyRequestResponse>
}

/**
 * `fetch` without a network: every request ends at `serve`. A signal ends it, and redirects are left to the caller:
 * `redirect: 'manual'` gets the redirect itself, anything else an error.
 */
export function fetchFrom (serve: (request: Request) => Promise<Response>): typeof fetch {
  return async (input, init) => {
    const request = new Request(input, init)
    const { signal } = request
    signal.throwIfAborted()
    let abort = () => {}
    const aborted = new Promise<never>((_resolve, reject) => { abort = () => { reject(signal.reason) } })
    signal.addEventListener('abort', abort)
    try {
      const response = await Promise.race([serve(request), aborted])
      if (response.status >= 300 && response.headers.has('location') && request.redirect !== 'manual') {
        throw new TypeError('fetch failed', { cause: new Error('unexpected redirect') })
      }
      const { body, status, headers } = response
      return body === null
        ? response
        : new Response(body.pipeThrough(new TransformStream(), { signal }), { status, headers })
    } finally {
      signal.removeEventListener('abort', abort)
    }
  }
}

/**
 * `fetch` for a Fastify app that listens nowhere: requests of any origin go through `app.inject`, with the host of
 * their URL. Answers arrive as they are written, so streams work; who cancels one is a client that has gone.
 * @example
 * ```ts
 * import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client'
 * import { injectFetch } from 'fastify-mcp-oauth/testing'
 * import { buildApp } from './app.js'
 *
 * const url = new URL('https://mcp.example.com/mcp')
 * const requestInit = { headers: { authorization: 'Bearer token-of-alice' } }
 * const client = new Client({ name: 'my test', version: '1.0.0' })
 * await client.connect(new StreamableHTTPClientTransport(url, { fetch: injectFetch(await buildApp()), requestInit }))
 * console.log(await client.listTools())
 * ```
 */
export function injectFetch (app: InjectableApp): typeof fetch {
  return fetchFrom(async request => {
    const { pathname, search, host } = new URL(request.url)
    const body = Buffer.from(await request.arrayBuffer())
    const response = await app.inject({
      method: request.method,
      url: pathname + search,
      authority: host,
      headers: Object.fromEntries(request.headers),
      ...body.length > 0 && { payload: body },
      payloadAsStream: true
    })
    const headers = new Headers()
    for (const [name, value] of Object.entries(response.headers)) {
      for (const one of [value].flat()) if (one !== undefined) headers.append(name, String(one))
    }
    return new Response(hasBody(response) ? toBody(response) : null, { status: response.statusCode, headers })
  })
}

function hasBody ({ statusCode }: LightMyRequestResponse): boolean {
  return ![204, 205, 304].includes(statusCode)
}

function toBody (response: LightMyRequestResponse): ReadableStream {
  const stream = response.stream()
  // to the app, the connection has closed
  stream.once('close', () => { response.raw.res.destroy() })
  // a reader gets the error; without one, nobody does
  stream.on('error', () => {})
  const body: AsyncIterable<Uint8Array, unknown> = stream
  const chunks = body[Symbol.asyncIterator]()
  // not Readable.toWeb: it closes a stream that the reader has cancelled, and throws out of reach of any catch
  return new ReadableStream({
    async pull (controller) {
      const next = await chunks.next()
      if (next.done === true) controller.close()
      else controller.enqueue(new Uint8Array(next.value))
    },
    cancel () { stream.destroy() }
  })
}
