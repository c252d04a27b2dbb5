import { InvalidClientError, OAuthError, TemporarilyUnavailableError } from '../../errors.js'
import type { MetadataDocumentRecord, MetadataDocumentStore } from '../../stores/metadata-documents.js'
import type { ClientMetadata } from '../client.js'
import { checkClientMetadata } from '../clients/client-metadata.js'
import { MetadataDocumentFetcher, type FetchMetadataDocumentOptions } from './fetch.js'
import { BoundedMap } from '../../collections/bounded-map.js'

export interface MetadataDocumentsOptions extends FetchMetadataDocumentOptions {
  /** Documents of clients that somebody has logged in to. */
  store: MetadataDocumentStore
  redirectSchemes: readonly string[]
  now: () => number
}

/** A document in this process. */
interface Known {
  record: MetadataDocumentRecord
  metadata: ClientMetadata
  /** Epoch seconds: it is not fetched before. */
  askAgainAt: number
}

const MAX_KNOWN = 1000
/** How long a refused document, or one whose host cannot be reached, is not fetched again. */
const ASK_AGAIN_SECONDS = 30
/** Even if its host says less: one login needs it three times. */
const MIN_FRESH_SECONDS = 60
/** How long the last good document is used while its host cannot be reached (RFC 5861 4). */
const STALE_SECONDS = 86_400

/**
 * Client ID metadata documents, fetched when needed: one fetch at a time for each, and its outcome is remembered. The
 * last good document of a client in use is in the store: for other replicas, for a restart, and for up to a day while
 * its host is down.
 */
export class MetadataDocuments {
  readonly #options: MetadataDocumentsOptions
  readonly #fetcher: MetadataDocumentFetcher
  readonly #known = new BoundedMap<string, Known>(MAX_KNOWN)
  readonly #refused = new BoundedMap<string, { error: OAuthError, until: number }>(MAX_KNOWN)
  readonly #fetching = new Map<string, Promise<ClientMetadata>>()

  constructor (options: MetadataDocumentsOptions) {
    this.#options = options
    this.#fetcher = new MetadataDocumentFetcher(options)
  }

  /**
   * The document; the last good one, for a day, while its host cannot be reached.
   * @throws {InvalidClientError} if it cannot be used, or is gone
   * @throws {TemporarilyUnavailableError} if it cannot be read
   */
  async get (clientId: string): Promise<ClientMetadata> {
    const now = this.#options.now() / 1000
    const known = this.#known.get(clientId)
    if (known !== undefined && now < known.askAgainAt) return known.metadata
    const refused = this.#refused.get(clientId)
    if (refused !== undefined && now < refused.until) throw refused.error
    let fetching = this.#fetching.get(clientId)
    if (fetching === undefined) {
      fetching = this.#refresh(clientId).finally(() => { this.#fetching.delete(clientId) })
      this.#fetching.set(clientId, fetching)
    }
    return await fetching
  }

  /** The last good document, without a fetch. `fresh`: no fetch is needed yet. */
  async find (clientId: string): Promise<{ metadata: ClientMetadata, fresh: boolean } | undefined> {
    const known = await this.#find(clientId)
    return known && { metadata: known.metadata, fresh: this.#options.now() / 1000 < known.askAgainAt }
  }

  /** Whether `get` need not ask the host. */
  async isKnown (clientId: string): Promise<boolean> {
    const refused = this.#refused.get(clientId)
    if (refused !== undefined && this.#options.now() / 1000 < refused.until) return true
    return (await this.find(clientId))?.fresh === true
  }

  /** Stores the document from now on: somebody has logged in to the client. */
  async keep (clientId: string): Promise<void> {
    const known = this.#known.get(clientId)
    if (known !== undefined) await this.#options.store.put(known.record)
  }

  async #refresh (clientId: string): Promise<ClientMetadata> {
    const { store, now } = this.#options
    const known = await this.#find(clientId)
    if (known !== undefined && now() / 1000 < known.askAgainAt) return known.metadata
    try {
      const record = await this.#fetch(clientId)
      const fresh = this.#remember(record)
      if (await store.find(clientId) !== undefined) await store.put(record)
      return fresh.metadata
    } catch (error) {
      if (!(error instanceof OAuthError)) throw error
      return await this.#withoutHost(clientId, known, error)
    }
  }

  /** When there is no new document: the last good one, unless it was withdrawn. */
  async #withoutHost (clientId: string, known: Known | undefined, error: OAuthError): Promise<ClientMetadata> {
    const { store, now } = this.#options
    const askAgainAt = now() / 1000 + ASK_AGAIN_SECONDS
    // its host says that there is no such client, or that it is not a valid one
    if (isWithdrawn(error)) {
      this.#known.delete(clientId)
      await store.remove(clientId)
    } else if (known !== undefined) {
      this.#remember(known.record, askAgainAt)
      return known.metadata
    }
    this.#refused.set(clientId, { error, until: now() / 1000 + (error.retryAfterSeconds ?? ASK_AGAIN_SECONDS) })
    throw error
  }

  async #fetch (clientId: string): Promise<MetadataDocumentRecord> {
    const { document, maxAgeSeconds } = await this.#fetcher.fetch(clientId)
    const now = this.#options.now() / 1000
    const freshUntil = now + Math.max(MIN_FRESH_SECONDS, maxAgeSeconds)
    return { clientId, metadata: this.#check(document), freshUntil, staleUntil: freshUntil + STALE_SECONDS }
  }

  async #find (clientId: string): Promise<Known | undefined> {
    const now = this.#options.now() / 1000
    const known = this.#known.get(clientId)
    if (known !== undefined && now < known.askAgainAt) return known
    const stored = await this.#options.store.find(clientId)
    if (stored !== undefined && stored.freshUntil > (known?.record.freshUntil ?? 0)) return this.#remember(stored)
    return known !== undefined && now < known.record.staleUntil ? known : undefined
  }

  #remember (record: MetadataDocumentRecord, askAgainAt = record.freshUntil): Known {
    // checked again: the configuration may have changed since
    const known = { record, metadata: this.#check(record.metadata), askAgainAt }
    this.#known.set(record.clientId, known)
    return known
  }

  #check (document: Record<string, unknown>): ClientMetadata {
    if (document.client_secret !== undefined) {
      throw withdrawn('A client ID metadata document must not contain a client_secret.')
    }
    // MCP, Client ID Metadata Documents: the consent page needs a name
    if (typeof document.client_name !== 'string' || document.client_name.trim() === '') {
      throw withdrawn('A client ID metadata document must have a client_name.')
    }
    const method = document.token_endpoint_auth_method ?? 'none'
    // private_key_jwt is not supported; such clients must be public
    if (method !== 'none') {
      throw withdrawn('A client with a metadata document must be public: token_endpoint_auth_method must be none.')
    }
    return checkClientMetadata({ ...document, token_endpoint_auth_method: 'none' }, this.#options.redirectSchemes)
  }
}

function withdrawn (message: string): InvalidClientError {
  return new InvalidClientError(message, { reason: 'document_gone' })
}

/** Whether the host responded without a valid client; not if there was an outage, or we refused to fetch. */
function isWithdrawn (error: OAuthError): boolean {
  if (error instanceof TemporarilyUnavailableError) return false
  return !(error instanceof InvalidClientError) || error.reason === 'document_gone'
}
