import {
  discoverAuthorizationServerMetadata,
  exchangeAuthorization,
  registerClient,
  startAuthorization
} from '@modelcontextprotocol/sdk/client/auth.js'
import type {
  OAuthClientInformationMixed,
  OAuthClientMetadata,
  OAuthTokens
} from '@modelcontextprotocol/sdk/shared/auth.js'
import type { Page } from 'playwright-core'
import type { Test } from 'tap'
import { listenFor } from '../support/service.js'
import type { PagesService } from './pages-service.js'

/** What one attempt to log in asks for. */
export interface Attempt {
  scope?: string
  /** Default: the client's first. */
  redirectUri?: string
}

/** A client as the SDK makes one: by discovery, and by registration where it has no id of its own. */
export interface SdkClient {
  information: OAuthClientInformationMixed
  /** Begins to log in, with `STATE` as its state; `redeem` is for the answer. */
  begin (attempt?: Attempt): Promise<{ url: string, redeem: (answer: URLSearchParams) => Promise<OAuthTokens> }>
}

export const STATE = 'the-state'

/** Makes a client that registers itself with `metadata`; `clientId` is that of a client which need not. */
export async function sdkClient (
  service: PagesService,
  metadata: Partial<OAuthClientMetadata>,
  clientId?: string
): Promise<SdkClient> {
  const authorizationServer = await discoverAuthorizationServerMetadata(service.url)
  if (authorizationServer === undefined) throw new Error('The service has no metadata.')
  const [first = ''] = metadata.redirect_uris ?? []
  const information = clientId !== undefined
    ? { client_id: clientId }
    : await registerClient(service.url, {
      metadata: authorizationServer,
      clientMetadata: { client_name: 'Test client', token_endpoint_auth_method: 'none', redirect_uris: [], ...metadata }
    })
  return {
    information,
    begin: async ({ scope = 'mcp', redirectUri = first } = {}) => {
      const common = {
        metadata: authorizationServer,
        clientInformation: information,
        resource: new URL(`${service.url}/mcp`)
      }
      const { authorizationUrl, codeVerifier } = await startAuthorization(service.url, {
        ...common,
        redirectUrl: redirectUri,
        scope,
        state: STATE
      })
      const redeem = (answer: URLSearchParams) =>
        exchangeAuthorization(service.url, {
          ...common,
          authorizationCode: answer.get('code') ?? '',
          codeVerifier,
          redirectUri
        })
      return { url: authorizationUrl.href, redeem }
    }
  }
}

/**
 * Serves pages on loopback, as a client on the person's computer does, at the host name `localhost`.
 * @param pages path -> HTML, or JSON
 * @returns its origin
 */
export async function serve (t: Test, pages: Record<string, string>): Promise<string> {
  const port = await listenFor(t, (request, response) => {
    const body = pages[(request.url ?? '').replace(/\?.*/, '')]
    response.writeHead(body === undefined ? 404 : 200, {
      'content-type': body?.startsWith('{') === true ? 'application/json' : 'text/html; charset=utf-8'
    }).end(body)
  })
  return `http://localhost:${port}`
}

/**
 * Answers at a public origin for one tab. By Chromium's own protocol: `page.route` does not see what a redirect leads
 * to.
 * @param pages path -> HTML
 */
export async function host (page: Page, origin: string, pages: Record<string, string>): Promise<void> {
  const session = await page.context().newCDPSession(page)
  session.on('Fetch.requestPaused', ({ requestId, request }) => {
    const body = pages[new URL(request.url).pathname]
    const answer = session.send('Fetch.fulfillRequest', {
      requestId,
      responseCode: body === undefined ? 404 : 200,
      responseHeaders: [{ name: 'content-type', value: 'text/html; charset=utf-8' }],
      body: Buffer.from(body ?? '').toString('base64')
    })
    // the tab may be closed by now
    answer.catch(() => {})
  })
  await session.send('Fetch.enable', { patterns: [{ urlPattern: `${origin}/*` }] })
}
