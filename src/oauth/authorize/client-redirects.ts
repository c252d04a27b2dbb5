import { OAuthError } from '../../errors.js'
import type { AuthorizationTransaction } from '../../stores/authorizations.js'
import { withParameters } from '../clients/redirect-uris.js'

/** Where an authorization response goes. */
export type RedirectTarget = Pick<AuthorizationTransaction, 'redirectUri' | 'state'>

/** Redirects back to the client, with its `state` and our `iss` (RFC 9207). */
export class ClientRedirects {
  readonly #issuer: string

  constructor (issuer: string) {
    this.#issuer = issuer
  }

  /** The URL that brings the client its code. */
  success (target: RedirectTarget, code: string): string {
    return this.#redirect(target, { code })
  }

  /** The URL that brings the client an error. Anything but an `OAuthError` is thrown again. */
  failure (error: unknown, target: RedirectTarget): { error: OAuthError, url: string } {
    if (!(error instanceof OAuthError)) throw error
    const { code, message } = error
    // RFC 6749 4.1.2.1 does not allow invalid_grant and invalid_client here
    const wireCode = ['invalid_grant', 'invalid_client'].includes(code) ? 'server_error' : code
    return { error, url: this.#redirect(target, { error: wireCode, error_description: message }) }
  }

  #redirect ({ redirectUri, state }: RedirectTarget, parameters: Record<string, string>): string {
    return withParameters(redirectUri, { ...parameters, state, iss: this.#issuer })
  }
}
