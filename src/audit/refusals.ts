const PER_MINUTE = 600
const MINUTE_MS = 60_000

/**
 * Bounds how many refusals of callers whom nobody knows are written down: anybody can cause as many as they like. What
 * is beyond is counted, and the count is written once a minute.
 */
export class Refusals {
  readonly #report: (reason: string) => void
  #count = 0
  #timer: NodeJS.Timeout | undefined

  /** @param report gets how many were left out */
  constructor (report: (reason: string) => void) {
    this.#report = report
  }

  /** Whether one more is written down. */
  take (): boolean {
    this.#timer ??= setTimeout(() => { this.close() }, MINUTE_MS).unref()
    return ++this.#count <= PER_MINUTE
  }

  /** Reports what was left out, and begins again. */
  close (): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    if (this.#count > PER_MINUTE) this.#report(String(this.#count - PER_MINUTE))
    this.#count = 0
  }
}
