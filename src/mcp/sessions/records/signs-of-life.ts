// the store ends an owner's least recently seen session: it should know which that is
const MAX_UNTOLD_SECONDS = 60
// sessions that were opened together do not all write to it together
const LEAST_UNTOLD = 0.5

/** When a session was last seen here; the store is told only now and then. */
export class SignsOfLife {
  /** Milliseconds since the epoch of the last one: a request, or an open stream. */
  seenAt = Date.now()
  /** Epoch seconds of the last one that the store knows of. */
  #toldAt: number
  readonly #untoldSeconds: number
  readonly #tell: (seenAt: number) => Promise<void>

  /** @param tell informs the store, in epoch seconds; if it rejects, the next sign of life is told again */
  constructor (lastSeenAt: number, idleSeconds: number, tell: (seenAt: number) => Promise<void>) {
    this.#toldAt = lastSeenAt
    this.#untoldSeconds = findUntoldSeconds(idleSeconds)
    this.#tell = tell
  }

  /** Notes one. @param now milliseconds since the epoch @returns undefined if the store is not told now */
  note (now: number): Promise<void> | undefined {
    this.seenAt = now
    return now / 1000 - this.#toldAt > this.#untoldSeconds ? this.tell() : undefined
  }

  /** The clock was set back, if the last one was later. @param now milliseconds since the epoch */
  notLaterThan (now: number): void {
    this.seenAt = Math.min(this.seenAt, now)
    this.#toldAt = Math.min(this.#toldAt, Math.ceil(now / 1000))
  }

  /** Informs the store of the last one. */
  async tell (): Promise<void> {
    const seenAt = Math.floor(this.seenAt / 1000)
    if (seenAt <= this.#toldAt) return
    const toldAt = this.#toldAt
    this.#toldAt = seenAt
    try {
      await this.#tell(seenAt)
    } catch (error) {
      this.#toldAt = toldAt
      throw error
    }
  }
}

function findUntoldSeconds (idleSeconds: number): number {
  return Math.min(idleSeconds / 10, MAX_UNTOLD_SECONDS) * (LEAST_UNTOLD + Math.random() * (1 - LEAST_UNTOLD))
}
