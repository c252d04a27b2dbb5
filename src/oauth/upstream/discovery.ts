import * as openid from 'openid-client'
import { OperatorNeededError, TemporarilyUnavailableError, UpstreamError, type OAuthError } from '../../errors.js'
import { BackChannel } from '../../outbound/back-channel.js'
import type { Fetch } from '../upstream-observer.js'
import { isLoopbackHost } from '../../loopback.js'
import { isTemplate, type Tenants } from './tenants.js'
import { unusable, upstreamError } from './upstream-errors.js'
import { DEFAULT_UPSTREAM_TIMEOUT_SECONDS } from '../options.js'
import { fetchMetadataAnswer } from './answers/metadata.js'

/** Whether a server is reached by plain http: on loopback only. */
export function isInsecure (url: URL | undefined): boolean {
  return url?.protocol === 'http:' && isLoopbackHost(url.hostname)
}

/** What is special about an authorization server. */
export interface DiscoveryOptions {
  /** Whose `fetch` is used: all URLs of the metadata get their public form. */
  backChannel?: BackChannel
  /** The rules, if it is for many tenants: its issuer is then a template. */
  tenants?: Tenants | undefined
}

/**
 * Discovers an authorization server by OpenID Connect Discovery, or else by RFC 8414.
 * @throws {TemporarilyUnavailableError} if it cannot be reached @throws {UpstreamError} if it has no usable metadata
 */
export async function discover (
  issuerUrl: URL,
  fetch: Fetch,
  timeoutSeconds = DEFAULT_UPSTREAM_TIMEOUT_SECONDS,
  { backChannel = new BackChannel(), tenants }: DiscoveryOptions = {}
): Promise<openid.ServerMetadata> {
  const failures: OAuthError[] = []
  for (const algorithm of tenants === undefined ? ['oidc', 'oauth2'] as const : ['oidc'] as const) {
    try {
      const url = tenants?.metadataUrl ?? issuerUrl
      const metadata = await fetchMetadata(url, fetch, algorithm, { timeout: timeoutSeconds, backChannel })
      checkTemplate(metadata.issuer, tenants)
      return metadata
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

/** @throws {UpstreamError} if metadata name a template, and may not, or another one than they may */
function checkTemplate (issuer: string, tenants: Tenants | undefined): void {
  if (tenants?.mayName(issuer) ?? !isTemplate(issuer)) return
  throw unusable(
    tenants === undefined
      ? `the issuer in its metadata is ${issuer}, for many tenants: set OAUTH_ALLOWED_TENANTS, and OAUTH_ISSUER_URL ` +
        'to …/common/v2.0 or …/organizations/v2.0'
      : `the issuer in its metadata is ${issuer}, and not ${tenants.template}`
  )
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
