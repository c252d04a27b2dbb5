/** Short-lived exclusive rights across replicas: who holds one may do the work, the others wait for its result. */
export interface LeaseStore {
  /** @returns whether `holder` has it now; it ends by itself after `ttlMs` */
  acquire (name: string, holder: string, ttlMs: number): Promise<boolean>
  /** Whether anybody has it now. */
  isHeld (name: string): Promise<boolean>
  /** Gives it back; does nothing where it is somebody else's by now. */
  release (name: string, holder: string): Promise<void>
}
