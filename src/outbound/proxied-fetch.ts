import https from 'node:https'
import type { IncomingMessage } from 'node:http'
import type { Proxy } from './proxy.js'

/*
 * What this is: `fetch` through a proxy, as far as an OAuth client needs it: the `fetch` of Node.js 20 knows no proxy.
 * What it is not: it follows no redirects, keeps no connections, and decodes no content encodings.
 * When to delete it: once every supported Node.js has `NODE_USE_ENV_PROXY` (24.5).
 */

const WITHOUT_BODY: ReadonlySet<number> = new Set([204, 205, 304])

/** `fetch` that sends requests to the internet through a proxy, and others as ever. */
export function proxiedFetch (proxy: Proxy): typeof fetch {
  return async (input, init) => {
    const request = new Request(input, init)
    const url = new URL(request.url)
    if (!proxy.covers(url)) return await fetch(input, init)
    const body = Buffer.from(await request.arrayBuffer())
    const socket = await proxy.connect(url, request.signal)
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      https.request(url, {
        method: request.method,
        headers: {
          'user-agent': 'fastify-mcp-oauth',
          ...Object.fromEntries(request.headers),
          ...body.length > 0 && { 'content-length': body.length },
          connection: 'close'
        },
        signal: request.signal,
        // without an agent, Node.js knows no default
        defaultPort: 443,
        createConnection: () => socket
      }).once('response', resolve).once('error', reject).end(body)
    })
    return toResponse(response)
  }
}

function toResponse (incoming: IncomingMessage): Response {
  const { statusCode: status = 502, statusMessage: statusText = '' } = incoming
  const headers = new Headers()
  for (let index = 0; index + 1 < incoming.rawHeaders.length; index += 2) {
    headers.append(incoming.rawHeaders[index] ?? '', incoming.rawHeaders[index + 1] ?? '')
  }
  if (WITHOUT_BODY.has(status)) {
    incoming.resume()
    return new Response(null, { status, statusText, headers })
  }
  return new Response(collect(incoming), { status, statusText, headers })
}

/** The body as a stream of the web; it ends the connection if nobody wants it any longer. */
function collect (incoming: IncomingMessage): ReadableStream<Uint8Array> {
  const body: AsyncIterator<Buffer> = incoming[Symbol.asyncIterator]()
  return new ReadableStream<Uint8Array>({
    async pull (controller) {
      const next = await body.next()
      if (next.done === true) controller.close()
      else controller.enqueue(new Uint8Array(next.value))
    },
    cancel () { incoming.destroy() }
  })
}
