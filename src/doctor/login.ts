import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { LOOPBACK_ADDRESS } from '../loopback.js'
import type { UpstreamSettings } from '../oauth/upstream-settings.js'
import { Upstream } from '../oauth/upstream/upstream.js'
import type { UpstreamTokens } from '../oauth/upstream/upstream-tokens.js'

const NAME = 'fastify-mcp-oauth doctor'
const PATIENCE_MS = 300_000

/** Asks the user to open a URL in a browser. */
export type OpenInBrowser = (url: string) => void

/**
 * Logs in as a native application does (RFC 8252 7.3): registers, waits for the browser on loopback, redeems the code,
 * and deletes the registration if the server lets it.
 * @throws {OAuthError} if the server refuses @throws {Error} if nobody comes back within five minutes
 */
export async function logInAt (server: UpstreamSettings, open: OpenInBrowser): Promise<UpstreamTokens> {
  const listener = createServer().listen(0, LOOPBACK_ADDRESS)
  await once(listener, 'listening')
  try {
    const address = listener.address()
    const callbackUrl = `http://${LOOPBACK_ADDRESS}:${typeof address === 'object' ? address?.port : ''}/callback`
    const upstream = new Upstream(server, callbackUrl, Date.now)
    const client = await upstream.registration.register(NAME)
    try {
      const request = await upstream.begin(client, randomUUID())
      const cameBack = new Promise<string>((resolve, reject) => {
        AbortSignal.timeout(PATIENCE_MS).addEventListener('abort', () => {
          reject(new Error('nobody came back from the login within five minutes'))
        })
        listener.on('request', ({ url = '' }, response) => {
          const { pathname, search } = new URL(url, callbackUrl)
          response.writeHead(pathname === '/callback' ? 200 : 404, {
            'content-type': 'text/plain',
            connection: 'close'
          }).end('You can close this window.')
          if (pathname === '/callback') resolve(search)
        })
      })
      open(request.url)
      const { tokens } = await upstream.redeem(client, await cameBack, request)
      return tokens
    } finally {
      await upstream.registration.deregister(client).catch(() => {})
    }
  } finally {
    listener.close()
    listener.closeAllConnections()
  }
}
