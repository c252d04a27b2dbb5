import * as openid from 'openid-client'
import { OperatorNeededError, TemporarilyUnavailableError, UpstreamError, type OAuthError } from '../../errors.js'
import { BackChannel } from '../../outbound/back-channel.js'
import type { Fetch } from '../upstream-observer.js'
import { isLoopbackHost } from '../../loopback.js'
import { upstreamError } from './upstream-errors.js'
import { DEFAULT_UPSTREAM_TIMEOUT_SECONDS } from '../options.js'
import { fetchMetadataAnswer } from './answers/metadata.js'

/** Whether a server is reached by plain http: on loopback only. */
export function isInsecure (url: URL | undefined): boolean {
  return url?.protocol === 'http:' && isLoopbackHost(url.hostname)
}

/**
 * Discovers an authorization server by OpenID Connect Discovery, or else by RFC 8414.
 * @param backChannel whose `fetch` this is: all URLs of the metadata get their public form
 * @throws {TemporarilyUnavailableError} if it cannot be reached @throws {UpstreamError} if it has no usable metadata
 */
export async function discover (
  issuerUrl: URL,
  fetch: Fetch,
  timeoutSeconds = DEFAULT_UPSTREAM_TIMEOUT_SECONDS,
  backChannel = new BackChannel()
): Promise<openid.ServerMetadata> {
  const failures: OAuthError[] = []
  for (const algorithm of ['oidc', 'oauth2'] as const) {
    try {
      return await fetchMetadata(issuerUrl, fetch, algorithm, { timeout: timeoutSeconds, backChannel })
    } catch (error) {
      failures.push(upstreamError(error))
    }
  }
  const outages = failures.filter(error => error instanceof TemporarilyUnavailableError)
  throw outages.find(error => !(error instanceof OperatorNeededError)) ?? outages[0] ??
    new UpstreamError('The login server cannot be used: its metadata is missing or invalid.', {
      detail: `discovery of the issuer ${issuerUrl.href} failed: ${
        [...new Set(failures.map(error => error.detail ?? error.message))].join('; ')
      }`
    })
}

async function fetchMetadata (
  issuerUrl: URL,
  fetch: Fetch,
  algorithm: 'oidc' | 'oauth2',
  { timeout, backChannel }: { timeout: number, backChannel: BackChannel }
): Promise<openid.ServerMetadata> {
  const fetchFor = async (url: URL) =>
    await openid.discovery(url, 'discovery', undefined, undefined, {
      algorithm,
      timeout,
      [openid.customFetch]: (url, init) => fetchMetadataAnswer(fetch, url, init, backChannel),
      ...isInsecure(url) && { execute: [openid.allowInsecureRequests] }
    })
  const configuration = await fetchFor(issuerUrl).catch(async (error: unknown) => {
    // with and without a trailing slash, an issuer has its metadata at the same place
    if (!(error instanceof openid.ClientError) || error.code !== 'OAUTH_JSON_ATTRIBUTE_COMPARISON_FAILED') throw error
    const other = new URL(issuerUrl)
    other.pathname = issuerUrl.pathname.endsWith('/') ? issuerUrl.pathname.slice(0, -1) : `${issuerUrl.pathname}/`
    return await fetchFor(other)
  })
  return configuration.serverMetadata()
}
