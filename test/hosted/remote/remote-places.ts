import type { Test } from 'tap'
import { remoteServer } from '../../../src/hosted/remote/remote-server.js'
import type { CreateServer } from '../../../src/mcp/create-server.js'
import { startMcp } from '../../support/mcp-harness.js'
import { listenFor } from '../../support/service.js'

const headers = { authorization: 'Bearer alice' }

/** Serves a server with the transports of this package, as somebody else's. */
async function serve (t: Test, createServer: CreateServer): Promise<string> {
  return (await startMcp(t, { createServer })).url
}

/** The same for 2026-07-28 alone: in front of it is something that refuses what is not. @returns its URL */
export async function serveModernOnly (t: Test, createServer: CreateServer): Promise<string> {
  const url = await serve(t, createServer)
  const port = await listenFor(t, (request, response) => {
    const forward = async () => {
      const chunks: Uint8Array[] = []
      const body: AsyncIterable<Uint8Array> = request
      for await (const chunk of body) chunks.push(chunk)
      const { host, connection, 'content-length': length, 'transfer-encoding': encoding, ...kept } = request.headers
      if (request.headers['mcp-method'] === undefined) {
        response.writeHead(400, { 'content-type': 'application/json' }).end(JSON.stringify({
          jsonrpc: '2.0',
          id: null,
          error: { code: -32022, message: 'Unsupported protocol version', data: { supported: ['2026-07-28'] } }
        }))
        return
      }
      const leaving = new AbortController()
      response.on('close', () => { leaving.abort() })
      const answer = await fetch(`${url}/mcp`, {
        method: 'POST',
        headers: new Headers(Object.entries(kept).map(([name, value]): [string, string] => [name, String(value)])),
        body: Buffer.concat(chunks),
        signal: leaving.signal
      })
      response.writeHead(answer.status, { 'content-type': answer.headers.get('content-type') ?? '' })
      const reader: ReadableStreamDefaultReader<Uint8Array> | undefined = answer.body?.getReader()
      for (let next = await reader?.read(); next?.done === false; next = await reader?.read()) {
        response.write(next.value)
      }
      response.end()
    }
    forward().catch(() => { response.destroy() })
  })
  return `http://127.0.0.1:${port}/mcp`
}

/** Where a server may be that is reached by HTTP, by what it speaks. */
export const remotePlaces: Record<string, (createServer: CreateServer, t: Test) => Promise<CreateServer>> = {
  'remote by Streamable HTTP': async (createServer, t) =>
    remoteServer({ url: `${await serve(t, createServer)}/mcp`, headers }),
  'remote by HTTP+SSE': async (createServer, t) =>
    remoteServer({ url: `${await serve(t, createServer)}/sse`, transport: 'sse', headers })
}

export const modernPlaces: typeof remotePlaces = {
  'remote by 2026-07-28 alone': async (createServer, t) =>
    remoteServer({ url: await serveModernOnly(t, createServer), headers })
}
