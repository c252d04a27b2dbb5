/** The last good metadata document of a client that somebody has logged in to. Plain JSON. */
export interface MetadataDocumentRecord {
  /** The URL of the document. */
  clientId: string
  /** The client metadata that was checked. */
  metadata: Record<string, unknown>
  /** Epoch seconds: its host said that it may be used till then. */
  freshUntil: number
  /** Epoch seconds: till then it is used when its host cannot be reached. */
  staleUntil: number
}

/**
 * Keeps metadata documents to their `staleUntil`, so many at most: beyond, the one that ends first goes. Each method is
 * one atomic step.
 */
export interface MetadataDocumentStore {
  find (clientId: string): Promise<MetadataDocumentRecord | undefined>
  put (record: MetadataDocumentRecord): Promise<void>
  remove (clientId: string): Promise<void>
}

/** Documents kept at most. */
export const MAX_METADATA_DOCUMENTS = 10_000
