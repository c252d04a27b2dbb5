/**
 * Tells that a call is not waited for any more. The SDK's entry only asks it and listens to it, before the server has the
 * request; a real `AbortSignal`, which costs several times as much as all else here, is made for who reads it after that.
 */
export class CallSignal {
  aborted = false
  readonly #listeners = new Set<() => void>()
  #controller: AbortController | undefined
  #isHandedOver = false

  /** The server has the request: from now on, tools may read it. */
  handOver (): void {
    this.#isHandedOver = true
  }

  /** What the request shows as its signal. */
  get shown (): CallSignal | AbortSignal {
    return this.#isHandedOver ? this.real : this
  }

  get real (): AbortSignal {
    this.#controller ??= new AbortController()
    if (this.aborted) this.#controller.abort()
    return this.#controller.signal
  }

  addEventListener (_type: 'abort', listener: () => void): void {
    this.#listeners.add(listener)
  }

  removeEventListener (_type: 'abort', listener: () => void): void {
    this.#listeners.delete(listener)
  }

  abort (): void {
    if (this.aborted) return
    this.aborted = true
    for (const listener of this.#listeners) listener()
    this.#controller?.abort()
  }
}
