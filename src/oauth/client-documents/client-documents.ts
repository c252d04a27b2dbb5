import { InvalidClientError, OAuthError, TemporarilyUnavailableError } from '../../errors.js'
import type { MetadataDocumentRecord, MetadataDocumentStore } from '../../stores/metadata-documents.js'
import { checkClientMetadata, type CheckedMetadata } from '../clients/client-metadata.js'
import { MetadataDocumentFetcher, type FetchMetadataDocumentOptions } from './fetch.js'
import { BoundedMap } from '../../collections/bounded-map.js'
import { SingleFlight } from '../../collections/single-flight.js'

export interface MetadataDocumentsOptions extends FetchMetadataDocumentOptions {
  /** Documents of clients that somebody has logged in to. */
  store: MetadataDocumentStore
  redirectSchemes: readonly string[]
  now: () => number
}

/** A document in this process. */
interface Known extends CheckedMetadata {
  record: MetadataDocumentRecord
  /** Epoch seconds: it was fetched last, by this process. */
  askedAt: number
  /** Epoch seconds: it is not fetched before, unless somebody has reason to think that it has changed. */
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
  readonly #fetching = new SingleFlight<string, CheckedMetadata>()

  constructor (options: MetadataDocumentsOptions) {
    this.#options = options
    this.#fetcher = new MetadataDocumentFetcher(options)
  }

  /**
   * The document; the last good one, for a day, while its host cannot be reached.
   * @throws {InvalidClientError} if it cannot be used, or is gone
   * @throws {TemporarilyUnavailableError} if it cannot be read
   */
  async get (clientId: string): Promise<CheckedMetadata> {
    const now = this.#options.now() / 1000
    const known = this.#known.get(clientId)
    if (known !== undefined && now < known.askAgainAt) return known
    const refused = this.#refused.get(clientId)
    if (refused !== undefined && now < refused.until) throw refused.error
    return await this.#fetching.run(clientId, () => this.#refresh(clientId))
  }

  /** The last good document, without a fetch. `fresh`: no fetch is needed yet. */
  async find (clientId: string): Promise<CheckedMetadata & { fresh: boolean } | undefined> {
    const known = await this.#find(clientId)
    return known && { ...known, fresh: this.#options.now() / 1000 < known.askAgainAt }
  }

  /** Whether `get` need not ask the host. */
  async isKnown (clientId: string): Promise<boolean> {
    const refused = this.#refused.get(clientId)
    if (refused !== undefined && this.#options.now() / 1000 < refused.until) return true
    return (await this.find(clientId))?.fresh === true
  }

  /** Whether `renew` would ask the host: it was not asked a moment ago. */
  mayRenew (clientId: string): boolean {
    const known = this.#known.get(clientId)
    return known !== undefined && this.#options.now() / 1000 >= known.askedAt + ASK_AGAIN_SECONDS
  }

  /** The document as it is now. @throws as `get` does */
  async renew (clientId: string): Promise<CheckedMetadata> {
    const known = this.#known.get(clientId)
    if (known !== undefined) {
      this.#known.set(clientId, { ...known, askedAt: this.#options.now() / 1000, askAgainAt: 0 })
    }
    return await this.get(clientId)
  }

  /** Stores the document from now on: somebody has logged in to the client. */
  async keep (clientId: string): Promise<void> {
    const known = this.#known.get(clientId)
    if (known !== undefined) await this.#options.store.put(known.record)
  }

  async #refresh (clientId: string): Promise<CheckedMetadata> {
    const { store, now } = this.#options
    const known = await this.#find(clientId)
    if (known !== undefined && now() / 1000 < known.askAgainAt) return known
    try {
      const fresh = await this.#fetch(clientId)
      this.#known.set(clientId, fresh)
      if (await store.find(clientId) !== undefined) await store.put(fresh.record)
      return fresh
    } catch (error) {
      if (!(error instanceof OAuthError)) throw error
      return await this.#withoutHost(clientId, known, error)
    }
  }

  /** When there is no new document: the last good one, unless it was withdrawn. */
  async #withoutHost (clientId: string, known: Known | undefined, error: OAuthError): Promise<CheckedMetadata> {
    const { store, now } = this.#options
    const askAgainAt = now() / 1000 + ASK_AGAIN_SECONDS
    // its host says that there is no such client, or that it is not a valid one
    if (isWithdrawn(error)) {
      this.#known.delete(clientId)
      await store.remove(clientId)
    } else if (known !== undefined) {
      return this.#remember(known.record, askAgainAt)
    }
    this.#refused.set(clientId, { error, until: now() / 1000 + (error.retryAfterSeconds ?? ASK_AGAIN_SECONDS) })
    throw error
  }

  async #fetch (clientId: string): Promise<Known> {
    const { document, maxAgeSeconds } = await this.#fetcher.fetch(clientId)
    const now = this.#options.now() / 1000
    const askAgainAt = now + Math.max(MIN_FRESH_SECONDS, maxAgeSeconds)
    const checked = this.#check(document)
    const { metadata } = checked
    const record = { clientId, metadata, freshUntil: askAgainAt, staleUntil: askAgainAt + STALE_SECONDS }
    return { ...checked, record, askedAt: now, askAgainAt }
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
    const { askedAt = 0 } = this.#known.get(record.clientId) ?? {}
    const known = { ...this.#check(record.metadata), record, askedAt, askAgainAt }
    this.#known.set(record.clientId, known)
    return known
  }

  #check (document: Record<string, unknown>): CheckedMetadata {
    if (document.client_secret !== undefined) {
      throw withdrawn('A client ID metadata document must not contain a client_secret.')
    }
    // MCP, Client ID Metadata Documents: the consent page needs a name
    if (typeof document.client_name !== 'string' || document.client_name.trim() === '') {
      throw withdrawn('A client ID metadata document must have a client_name.')
    }
    const { redirectSchemes, allowLoopback } = this.#options
    return checkClientMetadata(document, redirectSchemes, { isDocument: true, allowLoopback })
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
