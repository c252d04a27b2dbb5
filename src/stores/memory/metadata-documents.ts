import { MAX_METADATA_DOCUMENTS, type MetadataDocumentRecord } from '../metadata-documents.js'
import { KeptMetadataDocuments } from '../rules/metadata-documents.js'
import { ExpiringMap, type ExpiringMapOptions } from './expiring-map.js'

/** Metadata documents of a single process. */
export class MemoryMetadataDocumentStore extends KeptMetadataDocuments {
  readonly #documents: ExpiringMap<MetadataDocumentRecord>

  constructor (options: ExpiringMapOptions = {}) {
    const documents = new ExpiringMap<MetadataDocumentRecord>({ maxEntries: MAX_METADATA_DOCUMENTS, ...options })
    super(documents)
    this.#documents = documents
  }

  /** Stops the housekeeping. */
  close (): void {
    this.#documents.close()
  }
}
