import * as openid from 'openid-client'
import { UpstreamError } from '../../errors.js'
import { isLoopbackHost } from '../../loopback.js'
import type { BackChannel } from '../../outbound/back-channel.js'
import type { Fetch } from '../upstream-observer.js'
import { fetchRegistrationAnswer, REGISTER_BY_HAND } from './answers/registration.js'
import { fail } from './upstream-errors.js'
import { knownScopes, type UpstreamMetadata } from './upstream-metadata.js'

/** Our client at the upstream on behalf of some client (RFC 7591 3.2.1), as far as we need it. */
export interface UpstreamClient {
  clientId: string
  clientSecret?: string
  authMethod?: string
  /** Signs in place of a secret: PEM or JWK. */
  clientKey?: string
  /** Where, and with what, the registration is deleted (RFC 7592). */
  registrationUri?: string
  registrationAccessToken?: string
  /** Epoch seconds: the end of its secret. */
  secretExpiresAt?: number
  /** What it was registered for: see `UpstreamRegistration.isFor`. */
  madeFor?: string
}

export interface UpstreamRegistrationOptions {
  metadata: UpstreamMetadata
  scopes: readonly string[]
  /** Where the upstream is, by the configuration. */
  server: string
  callbackUrl: string
  /** What the operator calls the registrations that are good; others are replaced. */
  generation: string
  /** Whether the upstream may be reached by plain http. */
  insecure: boolean
  fetch: Fetch
  backChannel: BackChannel
  timeoutSeconds: number
}

const CACHED_METADATA = new URL('https://cached.invalid/.well-known/oauth-authorization-server')

/** Registers clients at the upstream, and deletes them. */
export class UpstreamRegistration {
  readonly #options: UpstreamRegistrationOptions

  constructor (options: UpstreamRegistrationOptions) {
    this.#options = options
  }

  /** Registers a client (RFC 7591), with our callback as its only redirect URI. */
  async register (clientName: string): Promise<UpstreamClient> {
    const { metadata, callbackUrl, insecure, fetch, timeoutSeconds: timeout } = this.#options
    const server = await metadata.get()
    if (server.registration_endpoint === undefined) {
      throw new UpstreamError('The login server does not let this service register.', {
        detail: `it has no registration endpoint: ${REGISTER_BY_HAND}`,
        reason: 'upstream_refused_client'
      })
    }
    const scopes = knownScopes(this.#options.scopes, server)
    const registered = await openid.dynamicClientRegistration(
      CACHED_METADATA,
      {
        client_name: clientName,
        redirect_uris: [callbackUrl],
        grant_types: ['authorization_code', 'refresh_token'],
        response_types: ['code'],
        application_type: isLoopbackHost(new URL(callbackUrl).hostname) ? 'native' : 'web',
        token_endpoint_auth_method: preferredAuthMethod(server.token_endpoint_auth_methods_supported),
        ...scopes.length > 0 && { scope: scopes.join(' ') }
      },
      undefined,
      {
        timeout,
        [openid.customFetch]: async (url, init) =>
          url === CACHED_METADATA.href ? Response.json(server) : await fetchRegistrationAnswer(fetch, url, init),
        ...insecure && { execute: [openid.allowInsecureRequests] }
      }
    ).catch(fail)
    return { ...toUpstreamClient(registered.clientMetadata()), madeFor: this.#purpose() }
  }

  /** Whether a registration was made for this upstream, our callback and the operator's generation; or may be. */
  isFor ({ madeFor }: UpstreamClient): boolean {
    return madeFor === undefined || madeFor === this.#purpose()
  }

  #purpose (): string {
    const { server, callbackUrl, generation } = this.#options
    return JSON.stringify([server, callbackUrl, generation])
  }

  /** Deletes a registration (RFC 7592 2.3), if the upstream lets us. */
  async deregister ({ registrationUri, registrationAccessToken }: UpstreamClient): Promise<void> {
    if (registrationUri === undefined || registrationAccessToken === undefined) return
    const { insecure, fetch, backChannel, timeoutSeconds } = this.#options
    const url = new URL(backChannel.toPublic(registrationUri))
    if (url.protocol !== 'https:' && !insecure) return
    const response = await fetch(url, {
      method: 'DELETE',
      redirect: 'error',
      headers: { authorization: `Bearer ${registrationAccessToken}` },
      signal: AbortSignal.timeout(timeoutSeconds * 1000)
    }).catch(fail)
    await response.body?.cancel()
    // 401: it was deleted before (RFC 7592 2.3)
    if (!response.ok && response.status !== 401 && response.status !== 404) fail(response)
  }
}

function toUpstreamClient (client: openid.ClientMetadata): UpstreamClient {
  const {
    registration_client_uri: registrationUri,
    registration_access_token: registrationAccessToken,
    client_secret_expires_at: secretExpiresAt
  } = client
  return {
    clientId: client.client_id,
    ...typeof client.client_secret === 'string' && { clientSecret: client.client_secret },
    ...typeof secretExpiresAt === 'number' && secretExpiresAt > 0 && { secretExpiresAt },
    ...typeof client.token_endpoint_auth_method === 'string' && { authMethod: client.token_endpoint_auth_method },
    ...typeof registrationUri === 'string' && { registrationUri },
    ...typeof registrationAccessToken === 'string' && { registrationAccessToken }
  }
}

function preferredAuthMethod (supported = ['client_secret_basic']): string {
  return ['client_secret_basic', 'client_secret_post', 'none'].find(method => supported.includes(method)) ??
    'client_secret_basic'
}
