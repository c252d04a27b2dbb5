import { createHash, randomUUID } from 'node:crypto'
import { param, type ReceivedRequest } from './requests.js'

/** Somebody who has logged in, for some client. */
export interface UpstreamLogin {
  subject: string
  scope: string
  nonce?: string
  /** What its access tokens are for (RFC 8707). */
  resource?: string
  clientId: string
  redirectUri: string
  codeChallenge: string
  ended: boolean
}

/**
 * The logins, by their codes and tokens. Each code and refresh token counts once; a refresh token that is used again
 * ends its login.
 */
export class UpstreamLogins {
  readonly #codes = new Map<string, UpstreamLogin>()
  readonly #access = new Map<string, UpstreamLogin>()
  readonly #refresh = new Map<string, UpstreamLogin>()
  readonly #used = new Map<string, UpstreamLogin>()

  /** The code of a new login. */
  begin (login: UpstreamLogin): string {
    const code = randomUUID()
    this.#codes.set(code, login)
    return code
  }

  /** The login that a token request may have tokens of; undefined where it may have none. */
  claim (request: ReceivedRequest): UpstreamLogin | undefined {
    const login = param(request, 'grant_type') === 'refresh_token'
      ? this.#refreshed(param(request, 'refresh_token'))
      : this.#redeemed(request)
    return login?.ended === false ? login : undefined
  }

  keep (login: UpstreamLogin, accessToken: string, refreshToken: string | undefined): void {
    this.#access.set(accessToken, login)
    if (refreshToken !== undefined) this.#refresh.set(refreshToken, login)
  }

  /** The login of an access token that works. */
  find (accessToken: string): UpstreamLogin | undefined {
    const login = this.#access.get(accessToken)
    return login?.ended === false ? login : undefined
  }

  /** Ends the login of a token. */
  end (token: string): void {
    const login = this.#refresh.get(token) ?? this.#access.get(token)
    if (login !== undefined) login.ended = true
  }

  endAll (): void {
    for (const login of [...this.#codes.values(), ...this.#access.values(), ...this.#refresh.values()]) {
      login.ended = true
    }
  }

  #redeemed (request: ReceivedRequest): UpstreamLogin | undefined {
    const login = this.#codes.get(param(request, 'code'))
    this.#codes.delete(param(request, 'code'))
    const challenge = createHash('sha256').update(param(request, 'code_verifier')).digest('base64url')
    return login?.codeChallenge === challenge && login.redirectUri === param(request, 'redirect_uri')
      ? login
      : undefined
  }

  #refreshed (token: string): UpstreamLogin | undefined {
    const replayed = this.#used.get(token)
    if (replayed !== undefined) replayed.ended = true
    const login = this.#refresh.get(token)
    this.#refresh.delete(token)
    if (login !== undefined) this.#used.set(token, login)
    return login
  }
}
