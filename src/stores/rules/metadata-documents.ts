import type { MetadataDocumentRecord, MetadataDocumentStore } from '../metadata-documents.js'
import type { ExpiringEntries } from './expiring-entries.js'

/** Metadata documents by client id. */
export class KeptMetadataDocuments implements MetadataDocumentStore {
  readonly #documents: ExpiringEntries<MetadataDocumentRecord>

  constructor (documents: ExpiringEntries<MetadataDocumentRecord>) {
    this.#documents = documents
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
}
