import { InvalidClientError } from '../../errors.js'
import { isMetadataDocumentUrl } from './document-url.js'
import { PublicJsonFetcher, type PublicJsonOptions } from './public-json.js'
import type { PublicJsonKind } from './refusals.js'

export { isMetadataDocumentUrl } from './document-url.js'

export type FetchMetadataDocumentOptions = PublicJsonOptions

export interface FetchedDocument {
  document: Record<string, unknown>
  maxAgeSeconds: number
}

const KIND: PublicJsonKind = {
  name: 'metadata document',
  maxBytes: 5120 * 4,
  checkType: true,
  gone: 'document_gone',
  unusable: 'document_unusable',
  unreachable: 'document_unreachable'
}
const UNUSABLE = 'The metadata document of the client cannot be used.'

/** Fetches the metadata documents of client ids (draft-ietf-oauth-client-id-metadata-document). */
export class MetadataDocumentFetcher {
  readonly #allowLoopback: boolean
  readonly #fetcher: PublicJsonFetcher

  constructor (options: FetchMetadataDocumentOptions) {
    this.#allowLoopback = options.allowLoopback
    this.#fetcher = new PublicJsonFetcher(KIND, options)
  }

  /**
   * Fetches the document of a client.
   * @throws {InvalidClientError} if it cannot be used; the `reason` is `document_gone` if its host says that it is gone
   * @throws {TemporarilyUnavailableError} if it cannot be read at the moment
   */
  async fetch (clientId: string): Promise<FetchedDocument> {
    if (!isMetadataDocumentUrl(clientId, this.#allowLoopback)) {
      throw new InvalidClientError(UNUSABLE, { detail: 'the client_id is not the URL of a metadata document' })
    }
    const { value: document, maxAgeSeconds } = await this.#fetcher.fetch(clientId)
    if (document.client_id !== clientId) {
      const detail = `the document at ${clientId} names another client_id`
      throw new InvalidClientError(UNUSABLE, { detail, reason: 'document_gone' })
    }
    return { document, maxAgeSeconds }
  }
}
