import { once } from 'node:events'
import { createServer, request, type IncomingMessage, type ServerResponse } from 'node:http'
import { pipeline } from 'node:stream'
import { addressOf } from '../support/address-of.js'

export interface TokenProxy {
  url: string
  close (): Promise<void>
}

/**
 * A reverse proxy on a free port of loopback that adds an access token to every request, for clients that cannot log
 * in. `Host`, `Origin` and all else stay as they came, so that the service's own checks see them.
 */
export async function startTokenProxy (target: string, token: string): Promise<TokenProxy> {
  const server = createServer((incoming, response) => {
    forward(incoming, response, target, token)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = addressOf(server)
  return {
    url: `http://127.0.0.1:${address.port}`,
    close: async () => {
      server.close()
      server.closeAllConnections()
      await once(server, 'close')
    }
  }
}

function forward (incoming: IncomingMessage, response: ServerResponse, target: string, token: string): void {
  const outgoing = request(new URL(incoming.url ?? '/', target), {
    method: incoming.method,
    headers: { ...incoming.headers, authorization: `Bearer ${token}` }
  })
  outgoing.on('response', answer => {
    response.writeHead(answer.statusCode ?? 502, answer.rawHeaders)
    // an event stream may have nothing to say for a while, but it has begun
    response.flushHeaders()
    pipeline(answer, response, () => {})
  })
  outgoing.on('error', () => {
    if (!response.headersSent) response.writeHead(502)
    response.end()
  })
  // a client that goes away takes its request with it
  response.on('close', () => { outgoing.destroy() })
  incoming.pipe(outgoing)
}
