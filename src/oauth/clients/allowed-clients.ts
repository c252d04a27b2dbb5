import { AccessDeniedError, InvalidRedirectUriError, InvalidTokenError, UnauthorizedClientError } from '../../errors.js'
import type { JudgedClient } from '../../policy/clients.js'
import type { Policy } from '../../policy/policy.js'
import type { Client } from '../client.js'
import { equalSecrets, hashSecret } from '../secrets.js'
import { classifyRedirectUri } from './redirect-uris.js'

export interface AllowedClientsOptions {
  policy: Policy | undefined
  /** Tokens with which clients may register if not everybody may (RFC 7591 3). */
  initialAccessTokens: readonly string[]
  /** Our own client, which no rule is about. */
  ownClientId: string
}

/** Which clients may register, and log people in. The rules may change at any time: they are asked each time. */
export class AllowedClients {
  readonly #options: AllowedClientsOptions
  readonly #tokenHashes: readonly string[]

  constructor (options: AllowedClientsOptions) {
    this.#options = options
    this.#tokenHashes = options.initialAccessTokens.map(hashSecret)
  }

  /**
   * Whether anybody may register who shows this.
   * @param token the initial access token of the request, if it has any
   * @throws {AccessDeniedError} if nobody may @throws {InvalidTokenError} if the token is missing or wrong
   */
  checkMayRegister (token: string | undefined): void {
    const { registration = 'open' } = this.#options.policy?.rules.clients ?? {}
    if (registration === 'open') return
    if (registration === 'off') {
      throw new AccessDeniedError(
        'Applications cannot register at this server. Its operator can name them in PREREGISTERED_CLIENTS, or set ' +
          'DYNAMIC_REGISTRATION.',
        { reason: 'registration_refused' }
      )
    }
    const hash = token === undefined ? undefined : hashSecret(token)
    // all are compared, so that the time says nothing
    const matches = this.#tokenHashes.filter(known => hash !== undefined && equalSecrets(hash, known))
    if (matches.length > 0) return
    throw new InvalidTokenError(
      'To register at this server, applications need an initial access token, which its operator gives out ' +
        '(INITIAL_ACCESS_TOKENS).',
      { reason: 'registration_refused' }
    )
  }

  /** @throws {InvalidRedirectUriError} if a client with these redirect URIs may not use this server */
  checkRegistration (redirectUris: readonly string[]): void {
    if (this.#allows({ clientId: '', kind: 'registered', redirectUris })) return
    throw new InvalidRedirectUriError(...refusal(redirectUris))
  }

  /**
   * @param redirectUri that it wants to use; absent: one of its own must be allowed
   * @throws {UnauthorizedClientError} if it may not use this server
   */
  check ({ clientId, kind, metadata }: Client, redirectUri?: string): void {
    const redirectUris = redirectUri === undefined ? metadata.redirect_uris : [redirectUri]
    if (this.#allows({ clientId, kind, redirectUris })) return
    throw new UnauthorizedClientError(...refusal(kind === 'document' ? [clientId] : redirectUris))
  }

  /** @throws {UnauthorizedClientError} if the client with this metadata document may not use this server */
  checkDocument (clientId: string): void {
    if (this.#allows({ clientId, kind: 'document', redirectUris: [] })) return
    throw new UnauthorizedClientError(...refusal([clientId]))
  }

  #allows (client: JudgedClient): boolean {
    const { policy, ownClientId } = this.#options
    return policy === undefined || client.clientId === ownClientId || policy.allowsClient(client)
  }
}

function refusal (uris: readonly string[]): [message: string, options: { reason: 'client_not_allowed' }] {
  const names = [...new Set(uris.map(describeTarget))].slice(0, 3).join(', ')
  return [
    `This application (${names}) may not use this server. The operator of the server can allow it in ALLOWED_CLIENTS.`,
    { reason: 'client_not_allowed' }
  ]
}

/** In the words of the rules. The URIs have been checked. */
function describeTarget (uri: string): string {
  const kind = classifyRedirectUri(uri)
  return kind === 'loopback' ? 'loopback' : kind === 'web' ? new URL(uri).host : new URL(uri).protocol
}
