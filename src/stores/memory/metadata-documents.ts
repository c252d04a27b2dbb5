import {
  MAX_METADATA_DOCUMENTS,
  type MetadataDocumentRecord,
  type MetadataDocumentStore
} from '../metadata-documents.js'
import { ExpiringMap, type ExpiringMapOptions } from './expiring-map.js'

/** Metadata documents of a single process. */
export class MemoryMetadataDocumentStore implements MetadataDocumentStore {
  readonly #documents: ExpiringMap<MetadataDocumentRecord>

  constructor (options: ExpiringMapOptions = {}) {
    this.#documents = new ExpiringMap({ maxEntries: MAX_METADATA_DOCUMENTS, ...options })
  }

  async find (clientId: string): Promise<MetadataDocumentRecord | undefined> {
    return structuredClone(this.#documents.get(clientId))
  }

  async put (record: MetadataDocumentRecord): Promise<void> {
    this.#documents.set(record.clientId, structuredClone(record), record.staleUntil)
  }

  async remove (clientId: string): Promise<void> {
    this.#documents.take(clientId)
  }

  /** Stops the housekeeping. */
  close (): void {
    this.#documents.close()
  }
}
