import { createInterface, type Interface } from 'node:readline'

/** Asks a person, or reads the lines that somebody has piped in. */
export class Questions {
  readonly #interface: Interface = createInterface({ input: process.stdin, output: process.stdout })
  readonly #lines = this.#interface[Symbol.asyncIterator]()
  readonly #leave = () => { this.#interface.close() }

  constructor () {
    // Ctrl-C ends the questions, so that nothing is written
    this.#interface.on('SIGINT', this.#leave)
    process.on('SIGINT', this.#leave).on('SIGTERM', this.#leave)
  }

  /**
   * Asks until the answer is allowed. An empty answer is the default.
   * @returns undefined if there is no answer: the input has ended, or the person has left
   */
  async ask<T extends string> (
    question: string,
    fallback: T,
    isAllowed: (answer: string) => answer is T
  ): Promise<T | undefined> {
    for (;;) {
      this.#interface.setPrompt(`${question} [${fallback}]: `)
      this.#interface.prompt()
      const line = await this.#lines.next()
      if (line.done === true) return undefined
      const answer = line.value.trim()
      if (answer === '') return fallback
      if (isAllowed(answer)) return answer
    }
  }

  close (): void {
    process.off('SIGINT', this.#leave).off('SIGTERM', this.#leave)
    this.#interface.close()
  }
}
