import type { CustomFetchOptions } from 'openid-client'
import type { UpstreamSettings } from '../upstream-settings.js'
import { authenticateOtherwise } from './client-authentication.js'
import type { UpstreamClient } from './registration.js'
import { refusesAuthentication } from './token-response.js'

/** Our configured client, in static mode, and how it authenticates if nobody has chosen that. */
export class StaticClient {
  readonly #options: UpstreamSettings
  /** Where the metadata named another way. */
  #methodThatWorks: string | undefined

  constructor (options: UpstreamSettings) {
    this.#options = options
  }

  /** Undefined in dynamic mode. */
  get client (): UpstreamClient | undefined {
    const { clientId, clientSecret, clientKey, clientAuthMethod: chosen = 'auto' } = this.#options
    if (clientId === undefined) return undefined
    const authMethod = chosen === 'auto' ? this.#methodThatWorks : chosen
    return {
      clientId,
      ...clientSecret !== undefined && { clientSecret },
      ...clientKey !== undefined && { clientKey },
      ...authMethod !== undefined && { authMethod }
    }
  }

  /**
   * Sends a token request of any client. If this one is refused by a method that nobody chose, the other one is tried
   * once, and remembered.
   */
  async send (
    client: UpstreamClient,
    init: CustomFetchOptions,
    fetch: (init: CustomFetchOptions) => Promise<Response>
  ): Promise<Response> {
    const response = await fetch(init)
    const { clientId, clientAuthMethod = 'auto' } = this.#options
    if (clientAuthMethod !== 'auto' || client.clientId !== clientId) return response
    if (!await refusesAuthentication(response.clone())) return response
    const other = authenticateOtherwise(client, init)
    if (other === undefined) return response
    const again = await fetch(other.init)
    if (await refusesAuthentication(again.clone())) return response
    this.#methodThatWorks = other.method
    return again
  }
}
