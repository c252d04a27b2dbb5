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

/** What servers of one era say to requests of the other. */
const REFUSALS = {
  modern: { code: -32022, message: 'Unsupported protocol version', data: { supported: ['2026-07-28'] } },
  legacy: { code: -32000, message: 'Bad Request: Server not initialized' }
}

/** The same for one era alone: in front of it is something that refuses the other. @returns its URL */
async function serveOnly (era: keyof typeof REFUSALS, t: Test, createServer: CreateServer): Promise<string> {
  const url = await serve(t, createServer)
  const port = await listenFor(t, (request, response) => {
    const forward = async () => {
      const chunks: Uint8Array[] = []
      const body: AsyncIterable<Uint8Array> = request
      for await (const chunk of body) chunks.push(chunk)
      const { host, connection, 'content-length': length, 'transfer-encoding': encoding, ...kept } = request.headers
      if ((request.headers['mcp-method'] !== undefined) !== (era === 'modern')) {
        response.writeHead(400, { 'content-type': 'application/json' })
          .end(JSON.stringify({ jsonrpc: '2.0', id: null, error: REFUSALS[era] }))
        return
      }
      const leaving = new AbortController()
      response.on('close', () => { leaving.abort() })
      const answer = await fetch(`${url}/mcp`, {
        method: request.method ?? 'POST',
        headers: new Headers(Object.entries(kept).map(([name, value]): [string, string] => [name, String(value)])),
        ...chunks.length > 0 && { body: Buffer.concat(chunks) },
        signal: leaving.signal
      })
      const passed = ['content-type', 'mcp-session-id'].flatMap(name => {
        const value = answer.headers.get(name)
        return value === null ? [] : [[name, value] as const]
      })
      response.writeHead(answer.status, Object.fromEntries(passed)).flushHeaders()
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

/** Where it speaks one era alone. */
export const eraPlaces: typeof remotePlaces = {
  'remote by 2026-07-28 alone': async (createServer, t) =>
    remoteServer({ url: await serveOnly('modern', t, createServer), headers }),
  'remote by Streamable HTTP without 2026-07-28': async (createServer, t) =>
    remoteServer({ url: await serveOnly('legacy', t, createServer), headers })
}
