/*
 * What this is: the signal that the client of a call has gone. A real `AbortSignal`, which costs several times as
 * much, is made only if somebody asks for it.
 * What it is not: an `AbortSignal`; `real` returns that.
 * What breaks: nothing depends on the SDK here.
 * Delete it when an `AbortController` is cheap, as it is on Node.js 24.
 */

/** Says when nobody waits for a call. */
export class CallSignal {
  aborted = false
  /** Called first. */
  onAbort: (() => void) | undefined
  #controller: AbortController | undefined

  get real (): AbortSignal {
    this.#controller ??= new AbortController()
    if (this.aborted) this.#controller.abort()
    return this.#controller.signal
  }

  abort (): void {
    if (this.aborted) return
    this.aborted = true
    this.onAbort?.()
    this.#controller?.abort()
  }
}
