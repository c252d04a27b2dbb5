/** Tells that a call is not waited for any more. A real `AbortSignal` costs several times as much, and is made for who asks for it. */
export class CallSignal {
  aborted = false
  /** Whom it tells first. */
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
