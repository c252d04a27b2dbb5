/** A registration at the upstream that is to be deleted there. Plain JSON. */
export interface UpstreamDeletion {
  clientId: string
  /** The upstream's client information response, sealed. */
  sealed: string
}

/** What may wait at once; beyond, what comes is not taken. */
export const MAX_UPSTREAM_DELETIONS = 10_000
/** Times that a deletion is tried: the pauses between them double, to six hours. */
export const MAX_DELETION_ATTEMPTS = 12
export const MAX_DELETION_PAUSE_SECONDS = 6 * 3600

/** Deletions at the upstream that wait to be done, by any replica. */
export interface UpstreamDeletionQueue {
  /** @returns how many there was no room for */
  add (deletions: readonly UpstreamDeletion[]): Promise<number>
  /**
   * Takes those that are due, for a while: what is not `done` by then is due again, later each time.
   * @returns each to one caller only
   */
  claim (limit: number, leaseSeconds: number): Promise<UpstreamDeletion[]>
  /** It is deleted, or cannot be. */
  done (deletion: UpstreamDeletion): Promise<void>
}
