import * as openid from 'openid-client'
import { TemporarilyUnavailableError } from '../errors.js'
import { isLoopbackHost } from './redirect-uris.js'
import { upstreamError } from './upstream-errors.js'

const TIMEOUT_SECONDS = 10

/** Whether plain http is spoken with a server: on loopback only. */
export function isInsecure (url: URL | undefined): boolean {
  return url?.protocol === 'http:' && isLoopbackHost(url.hostname)
}

/**
 * Discovers an authorization server by OpenID Connect Discovery, or else by RFC 8414.
 * @throws {TemporarilyUnavailableError} where it cannot be reached @throws {UpstreamError} where it has no usable metadata
 */
export async function discover (issuerUrl: URL, timeoutSeconds = TIMEOUT_SECONDS): Promise<openid.ServerMetadata> {
  const failures: unknown[] = []
  for (const algorithm of ['oidc', 'oauth2'] as const) {
    try {
      const configuration = await openid.discovery(issuerUrl, 'discovery', undefined, undefined, {
        algorithm, timeout: timeoutSeconds, ...isInsecure(issuerUrl) && { execute: [openid.allowInsecureRequests] }
      })
      return configuration.serverMetadata()
    } catch (error) {
      failures.push(error)
    }
  }
  const errors = failures.map(upstreamError)
  throw errors.find(error => error instanceof TemporarilyUnavailableError) ?? errors[0] ?? upstreamError(undefined)
}
