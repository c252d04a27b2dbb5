import { InvalidClientError, InvalidRequestError, UnauthorizedClientError } from '../../errors.js'
import type { MetadataDocumentStore } from '../../stores/metadata-documents.js'
import type { ClientRecord, ClientStore } from '../../stores/registrations.js'
import type { AllowedClients } from './allowed-clients.js'
import { checkClientMetadata, checkRegistration, type CheckedMetadata } from './client-metadata.js'
import { observedFailure, type BrokerObserver, type RegistrationEvent, type StepRequest } from '../login-events.js'
import { isMetadataDocumentUrl, type FetchMetadataDocumentOptions } from '../client-documents/fetch.js'
import type { AuthMethodRules } from './auth-methods.js'
import { MetadataDocuments } from '../client-documents/client-documents.js'
import type { Client, ClientMetadata, PreregisteredClient } from '../client.js'
import { BoundedMap } from '../../collections/bounded-map.js'
import { checkPreregisteredClient } from './preregistered-clients.js'
import { matchesRedirectUri } from './redirect-uris.js'
import { hashSecret, isSecret, newSecret } from '../secrets.js'

export interface ClientsOptions {
  store: ClientStore
  redirectSchemes: readonly string[]
  allowed: AllowedClients
  preregistered: readonly PreregisteredClient[]
  unusedClientSeconds: number
  clientSeconds: number
  documents: FetchMetadataDocumentOptions & {
    store: MetadataDocumentStore
    /** Whether there are any. Default: true. */
    enabled?: boolean
  }
  observe?: BrokerObserver
  now: () => number
}

const MAX_REAPED = 1000
const MAX_CHECKED = 1000

/** The clients of this authorization server: preregistered, registered (RFC 7591), or with a metadata document. */
export class Clients {
  readonly #options: ClientsOptions
  readonly #preregistered: ReadonlyMap<string, Client>
  readonly #documents: MetadataDocuments
  readonly #rules: AuthMethodRules
  /** Checked metadata of registered clients, by client id: it never changes. */
  readonly #checked = new BoundedMap<string, ClientMetadata>(MAX_CHECKED)

  constructor (options: ClientsOptions) {
    this.#options = options
    const { documents, redirectSchemes, now } = options
    this.#documents = new MetadataDocuments({ ...documents, redirectSchemes, now })
    this.#rules = { isDocument: false, allowLoopback: documents.allowLoopback }
    this.#preregistered = new Map(options.preregistered.map(client => [client.clientId, this.#preregister(client)]))
  }

  /**
   * Registers a client.
   * @param address that asks for it: what is kept counts for it until somebody logs in
   * @param token the initial access token that came with it
   * @param http the request, for observers
   * @returns the client information response (RFC 7591 3.2.1)
   * @throws {InvalidRedirectUriError} @throws {InvalidClientMetadataError}
   */
  async register (
    input: unknown,
    address: string,
    token?: string,
    http?: StepRequest
  ): Promise<Record<string, unknown>> {
    const event: RegistrationEvent = { type: 'registration', metadata: input, http }
    const { observe = () => {}, allowed } = this.#options
    const { client, response } = await observedFailure(observe, event, async () => {
      allowed.checkMayRegister(token)
      return await this.#register(input, address)
    })
    observe({ ...event, client })
    return response
  }

  async #register (input: unknown, address: string): Promise<{ client: Client, response: Record<string, unknown> }> {
    const { store, redirectSchemes, allowed, unusedClientSeconds, now } = this.#options
    const { metadata, dropped } = checkClientMetadata(input, redirectSchemes, this.#rules)
    checkRegistration(metadata)
    allowed.checkRegistration(metadata.redirect_uris)
    const issuedAt = Math.floor(now() / 1000)
    const clientId = newSecret('client')
    const hasSecret = metadata.token_endpoint_auth_method.startsWith('client_secret')
    const clientSecret = hasSecret ? newSecret('clientSecret') : undefined
    const record = {
      clientId,
      metadata,
      issuedAt,
      expiresAt: issuedAt + unusedClientSeconds,
      ...clientSecret !== undefined && { secretHash: hashSecret(clientSecret) }
    }
    await store.add(record, address)
    return {
      client: { ...this.#registered(record), ...dropped.length > 0 && { dropped } },
      response: {
        client_id: clientId,
        client_id_issued_at: issuedAt,
        ...clientSecret !== undefined && { client_secret: clientSecret, client_secret_expires_at: 0 },
        ...metadata
      }
    }
  }

  /**
   * Finds a client. A metadata document is fetched unless that was done lately.
   * @throws {UnauthorizedClientError} if its metadata document is not one of those that are allowed
   * @throws {InvalidClientError} if the client is unknown, or its metadata document cannot be used
   * @throws {TemporarilyUnavailableError} if its metadata document cannot be read at the moment
   */
  async find (clientId: string): Promise<Client> {
    const preregistered = this.#preregistered.get(clientId)
    if (preregistered !== undefined) return preregistered
    if (this.#isDocument(clientId)) {
      // before anything is fetched
      this.#options.allowed.checkDocument(clientId)
      return toDocumentClient(clientId, await this.#documents.get(clientId))
    }
    if (this.#isUrl(clientId)) throw documentsOff()
    const record = isSecret('client', clientId) ? await this.#options.store.find(clientId) : undefined
    if (record === undefined) throw unknownClient()
    return this.#registered(record)
  }

  /** Whether `find` would have to ask the host of the client's metadata document. */
  async hasToFetch (clientId: string): Promise<boolean> {
    return this.#isDocument(clientId) && !await this.#documents.isKnown(clientId)
  }

  /** Finds a client without fetching anything; undefined if it is not known. */
  async findKnown (clientId: string): Promise<Client | undefined> {
    if (!this.#isDocument(clientId)) return await this.find(clientId).catch(ignoreInvalid)
    const known = await this.#documents.find(clientId)
    return known && toDocumentClient(clientId, known)
  }

  /**
   * Finds the client that a request without a browser names, as anybody can: its metadata document is fetched only if
   * the request contains something that we gave to this client.
   * @throws {InvalidClientError} @throws {TemporarilyUnavailableError}
   */
  async findNamed (clientId: string, isTheirs: () => Promise<boolean>): Promise<Client> {
    if (!this.#isDocument(clientId)) return await this.find(clientId)
    const known = await this.#documents.find(clientId)
    if (known?.fresh === true) return toDocumentClient(clientId, known)
    if (await isTheirs()) return await this.find(clientId)
    if (known === undefined) throw unknownClient()
    return toDocumentClient(clientId, known)
  }

  /**
   * A client's metadata as they are now: a document is fetched again, unless that was done a moment ago.
   * @param beforeFetch what it throws is the outcome
   * @throws {InvalidClientError} @throws {TemporarilyUnavailableError}
   */
  async renewed (client: Client, beforeFetch: () => Promise<void>): Promise<Client> {
    const { clientId, kind } = client
    if (kind !== 'document' || !this.#documents.mayRenew(clientId)) return client
    await beforeFetch()
    return toDocumentClient(clientId, await this.#documents.renew(clientId))
  }

  /** Extends a client's registration while it is used; the store is written to only now and then. */
  async renew (client: Client): Promise<void> {
    const { clientSeconds, now } = this.#options
    if (client.kind !== 'registered' || isDue(client.expiresAt, clientSeconds, now())) await this.keep(client)
  }

  /** Keeps a client's registration: it led to a grant. */
  async keep (client: Client): Promise<void> {
    const { store, clientSeconds, now } = this.#options
    if (client.kind === 'registered') await store.keep(client.clientId, Math.floor(now() / 1000) + clientSeconds)
    if (client.kind === 'document') await this.#documents.keep(client.clientId)
  }

  /** Removes registrations that led to no login, or are no longer used. */
  async reap (): Promise<void> {
    while ((await this.#options.store.takeExpired(MAX_REAPED)).length === MAX_REAPED);
  }

  #isDocument (clientId: string): boolean {
    return this.#options.documents.enabled !== false && this.#isUrl(clientId)
  }

  /** Whether a client_id is a URL that may be that of a document. */
  #isUrl (clientId: string): boolean {
    return !this.#preregistered.has(clientId) && isMetadataDocumentUrl(clientId, this.#options.documents.allowLoopback)
  }

  #registered (record: ClientRecord): Client {
    return {
      clientId: record.clientId,
      kind: 'registered',
      expiresAt: record.expiresAt,
      metadata: this.#checkedMetadata(record),
      ...record.secretHash !== undefined && { secretHash: record.secretHash }
    }
  }

  /** Checks a registration once in each process: the configuration may have changed since it was stored. */
  #checkedMetadata ({ clientId, metadata }: ClientRecord): ClientMetadata {
    const known = this.#checked.get(clientId)
    if (known !== undefined) return known
    const checked = checkClientMetadata(metadata, this.#options.redirectSchemes, this.#rules)
    this.#checked.set(clientId, checked.metadata)
    return checked.metadata
  }

  #preregister (client: PreregisteredClient): Client {
    const { clientId, clientSecret, trusted = false } = client
    return {
      clientId,
      kind: 'preregistered',
      metadata: checkPreregisteredClient(client, this.#options.redirectSchemes, this.#rules.allowLoopback),
      ...trusted && { trusted },
      ...clientSecret !== undefined && { secretHash: hashSecret(clientSecret) }
    }
  }
}

/** Whether a registration in use is due to be extended: after each tenth of its life. */
export function isDue (expiresAt = 0, seconds: number, nowMs: number): boolean {
  return expiresAt - nowMs / 1000 <= 0.9 * seconds
}

/**
 * The redirect URI of an authorization request.
 * @throws {InvalidRequestError} if it is missing or not one of the client's: never redirect then
 */
export function resolveRedirectUri (client: Client, requested: string | undefined): string {
  const { redirect_uris: registered } = client.metadata
  if (requested === undefined) {
    const [only] = registered
    if (registered.length === 1 && only !== undefined) return only
    throw new InvalidRequestError('The redirect_uri is missing.')
  }
  if (!registered.some(uri => matchesRedirectUri(requested, uri))) {
    throw new InvalidRequestError('The redirect_uri is not one that the client registered.', {
      reason: 'redirect_uri_mismatch',
      detail: `it is ${withoutQuery(requested)}; registered: ${registered.map(withoutQuery).join(', ')}`
    })
  }
  return requested
}

function toDocumentClient (clientId: string, { metadata, dropped }: CheckedMetadata): Client {
  return { clientId, kind: 'document', metadata, ...dropped.length > 0 && { dropped } }
}

function documentsOff (): InvalidClientError {
  return new InvalidClientError(
    'This server does not read client metadata documents. Register the client instead (RFC 7591).',
    { reason: 'documents_off' }
  )
}

function unknownClient (): InvalidClientError {
  return new InvalidClientError('The client is unknown. Register it again.', { reason: 'unknown_client' })
}

function ignoreInvalid (error: unknown): undefined {
  if (!(error instanceof InvalidClientError || error instanceof UnauthorizedClientError)) throw error
  return undefined
}

function withoutQuery (uri: string): string {
  return uri.slice(0, 200).split(/[?#]/)[0] ?? ''
}

/** Whether a client registered for refresh tokens. */
export function takesRefreshTokens (client: Client): boolean {
  return client.metadata.grant_types.includes('refresh_token')
}
