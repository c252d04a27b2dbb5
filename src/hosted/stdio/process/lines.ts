const NEWLINE = 0x0a

export interface LinesOptions {
  /** Bytes. */
  maxLength: number
  onLine: (line: string) => void
  /** Called for each line that is longer, with its beginning; the rest of it is dropped. */
  onTooLong: (beginning: string) => void
}

/** Makes lines of the pieces that a stream comes in. */
export class Lines {
  readonly #options: LinesOptions
  #pieces: Buffer[] = []
  #length = 0
  #isSkipping = false

  constructor (options: LinesOptions) {
    this.#options = options
  }

  push (chunk: Buffer): void {
    let start = 0
    for (let end = chunk.indexOf(NEWLINE); end !== -1; end = chunk.indexOf(NEWLINE, start)) {
      this.#add(chunk.subarray(start, end))
      this.#end()
      start = end + 1
    }
    if (start < chunk.length) this.#add(chunk.subarray(start))
  }

  /** The stream is over: what is left is a line too. */
  finish (): void {
    if (this.#length > 0) this.#end()
  }

  #add (piece: Buffer): void {
    if (this.#isSkipping) return
    const { maxLength, onTooLong } = this.#options
    const room = maxLength - this.#length
    this.#pieces.push(piece.length > room ? piece.subarray(0, room) : piece)
    this.#length += piece.length
    if (piece.length <= room) return
    this.#isSkipping = true
    onTooLong(this.#take())
  }

  #end (): void {
    const isSkipped = this.#isSkipping
    this.#isSkipping = false
    const line = this.#take()
    if (!isSkipped) this.#options.onLine(line)
  }

  #take (): string {
    const line = Buffer.concat(this.#pieces).toString('utf8')
    this.#pieces = []
    this.#length = 0
    return line.endsWith('\r') ? line.slice(0, -1) : line
  }
}
