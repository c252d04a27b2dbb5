import { createServer } from 'node:http'
import { once } from 'node:events'
import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { pipeline } from 'node:stream/promises'
import type { Test } from 'tap'
import { ScriptableUpstream, type ScriptableUpstreamOptions } from '../../src/testing/index.js'
import { freePort } from './free-port.js'

/** The scriptable upstream on a free port of loopback, for what is about the network; ends with the test. */
export async function listeningUpstream (
  t: Pick<Test, 'teardown'>,
  options: ScriptableUpstreamOptions = {}
): Promise<ScriptableUpstream> {
  const port = await freePort()
  const upstream = new ScriptableUpstream({ origin: `http://localhost:${port}`, ...options })
  await listen(t, upstream, port)
  return upstream
}

/** Makes a scriptable upstream listen on a port of loopback, whatever it calls itself. @returns where */
export async function listen (
  t: Pick<Test, 'teardown'>,
  upstream: ScriptableUpstream,
  port: number
): Promise<string> {
  const origin = `http://localhost:${port}`
  const server = createServer((incoming, outgoing) => {
    const serve = async () => {
      const { method = 'GET', url = '/' } = incoming
      const body = await buffer(incoming)
      const headers = new Headers(
        Object.entries(incoming.headers).map(([name, value]): [string, string] => [name, String(value)])
      )
      const response = await upstream.fetch(origin + url, {
        method,
        headers,
        redirect: 'manual',
        ...body.length > 0 && { body }
      })
      outgoing.writeHead(response.status, Object.fromEntries(response.headers))
      if (response.body === null) outgoing.end()
      else await pipeline(Readable.fromWeb(response.body), outgoing)
    }
    serve().catch(() => outgoing.destroy())
  }).listen(port, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(async () => {
    const closed = once(server, 'close')
    server.close()
    server.closeAllConnections()
    await closed
  })
  return origin
}
