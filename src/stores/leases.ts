const CLIENT_ASSERTION = 'client-assertion:'
const REPLICA = 'replica:'

/** Name of the lease that each kind of exclusive work takes. */
export const leaseNames = {
  /** Held by a replica as long as it runs. */
  replica: (replicaId: string) => `${REPLICA}${replicaId}`,
  /** Decides whether a message that was handed over is processed or given up: who takes it first, does so. */
  handOver: (handOverId: string) => `hand-over:${handOverId}`,
  /**
   * Whether a call that was handed over to another replica may continue there: the replica that has it takes this
   * before, the one that waits as it gives up. It is never released.
   */
  resumption: (exchangeId: string) => `resumption:${exchangeId}`,
  /** Held by the replica that runs a request with input, or keeps its response for who repeats it. */
  repeatableRequest: (fingerprint: string) => `repeatable:${fingerprint}`,
  /** A client assertion that was used: nobody may use it again. It is never released. */
  clientAssertion: (hash: string) => `${CLIENT_ASSERTION}${hash}`,
  /** Held while the upstream's tokens of a grant are refreshed. */
  upstreamRefresh: (grantId: string) => `upstream-refresh:${grantId}`,
  /** Held while a client is registered at the upstream. */
  upstreamRegistration: (clientId: string) => `upstream-client:${clientId}`
}

/** Whether a lease says what was done, and not who does it: then it is not over with the process that has taken it. */
export function outlivesHolder (name: string): boolean {
  return name.startsWith(CLIENT_ASSERTION)
}

/** Whether a lease says that a replica is alive: anybody may ask. */
export function isOfReplica (name: string): boolean {
  return name.startsWith(REPLICA)
}

/** Short-lived exclusive rights across replicas: the holder does the work, the others wait for its result. */
export interface LeaseStore {
  /** @returns whether `holder` has the lease now; it ends by itself after `ttlMs` */
  acquire (name: string, holder: string, ttlMs: number): Promise<boolean>
  /** Whether anybody holds it now. */
  isHeld (name: string): Promise<boolean>
  /** Gives it back; does nothing if it is no longer the holder's. */
  release (name: string, holder: string): Promise<void>
}
