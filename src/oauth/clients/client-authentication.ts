import { InvalidClientError, InvalidRequestError } from '../../errors.js'
import type { Client } from '../client.js'
import type { RateLimits } from '../rate-limits.js'
import { equalSecrets, hashSecret } from '../secrets.js'
import { JWT_BEARER, type ClientAssertions } from './client-assertions.js'
import type { Clients } from './clients.js'

/** Credentials of a token request (RFC 6749 2.3, RFC 7523 2.2). */
export interface ClientCredentials {
  clientId: string
  clientSecret: string | undefined
  method: 'client_secret_basic' | 'client_secret_post' | 'none'
  /** Absent if neither of its parameters was sent. */
  assertion?: { type: string | undefined, jwt: string | undefined }
}

/** A client as a request has shown it to be. */
export interface AuthenticatedClient {
  client: Client
  /** Whether it has proven its secret or key; a public client has nothing to prove. */
  proven: boolean
}

/** What the request shows besides credentials. */
export interface RequestEvidence {
  /** Whether it contains something that we gave to this client; otherwise its metadata are not fetched. */
  isTheirs: () => Promise<boolean>
  /** Called before a request that is not theirs has somebody else asked for keys. What it throws is the response. */
  beforeFetch?: () => Promise<void>
}

export interface ClientAuthenticationOptions {
  clients: Clients
  assertions: ClientAssertions
  limits: RateLimits
}

/** Assertions in a minute, of all requests that show nothing that we gave to their client: each is kept for a while. */
const MAX_UNRELATED_ASSERTIONS = 1000

/** Finds out which client makes a request, and has it prove that (RFC 6749 2.3, 3.2.1). */
export class ClientAuthentication {
  readonly #options: ClientAuthenticationOptions

  constructor (options: ClientAuthenticationOptions) {
    this.#options = options
  }

  /**
   * Finds the client of a request, and checks its secret or assertion.
   * @throws {InvalidClientError} @throws {InvalidRequestError} @throws {TemporarilyUnavailableError}
   */
  async authenticate (credentials: ClientCredentials, evidence: RequestEvidence): Promise<AuthenticatedClient> {
    const { assertion, clientId, clientSecret, method } = credentials
    if (assertion !== undefined && (clientSecret !== undefined || method === 'client_secret_basic')) {
      throw new InvalidRequestError('The client authenticates in several ways; use one of them.', {
        reason: 'invalid_client_assertion'
      })
    }
    let theirs: Promise<boolean> | undefined
    const isTheirs = async () => {
      theirs ??= evidence.isTheirs()
      return await theirs
    }
    const client = await this.#options.clients.findNamed(clientId, isTheirs)
    if (assertion !== undefined) {
      await this.#verify(assertion, client, { ...evidence, isTheirs })
      return { client, proven: true }
    }
    checkSecret(client, credentials)
    return { client, proven: client.secretHash !== undefined }
  }

  /** An assertion that was sent must be valid, even if the client may do without. */
  async #verify (
    { type, jwt }: NonNullable<ClientCredentials['assertion']>,
    client: Client,
    { isTheirs, beforeFetch = async () => {} }: RequestEvidence
  ): Promise<void> {
    const { assertions, clients, limits } = this.#options
    const reason = 'invalid_client_assertion'
    if (type !== JWT_BEARER) throw new InvalidClientError(`client_assertion_type must be ${JWT_BEARER}.`, { reason })
    if (jwt === undefined) throw new InvalidClientError('The client_assertion is missing.', { reason })
    const fetching = async () => { if (!await isTheirs()) await beforeFetch() }
    await assertions.verify(jwt, client, {
      beforeFetch: fetching,
      renewClient: async () => await clients.renewed(client, fetching),
      beforeKeeping: async () => {
        if (!await isTheirs()) await limits.count(['client assertions', 'everybody'], MAX_UNRELATED_ASSERTIONS)
      }
    })
  }
}

function checkSecret ({ secretHash, metadata }: Client, { clientSecret, method }: ClientCredentials): void {
  if (secretHash !== undefined) {
    if (clientSecret !== undefined && equalSecrets(hashSecret(clientSecret), secretHash)) return
    throw new InvalidClientError('The client secret is missing or wrong.', { reason: 'wrong_client_secret' })
  }
  const { token_endpoint_auth_method: registered, token_endpoint_auth_methods_supported: methods = [] } = metadata
  if (registered === 'private_key_jwt' && !methods.includes('none')) {
    throw new InvalidClientError(
      'This client must authenticate with private_key_jwt: send client_assertion and client_assertion_type (RFC 7523).',
      { reason: 'missing_client_assertion' }
    )
  }
  // a public client has nothing to prove
  if (method === 'client_secret_basic' && clientSecret !== '' && clientSecret !== undefined) {
    throw new InvalidClientError('This client has no secret.', { reason: 'wrong_client_secret' })
  }
}
