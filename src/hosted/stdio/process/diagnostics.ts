import type { Log } from '../../../log.js'
import { Lines } from './lines.js'

const MAX_LINE = 4096
const MAX_LINES = 100
const PERIOD_MS = 10_000

/** Writes what a server says on its standard error output into the log: a number of lines in a while, each cut. */
export class Diagnostics {
  readonly #findLog: () => Log
  readonly #pid: number
  readonly #lines: Lines
  #periodBegan = -Infinity
  #count = 0

  /** @param findLog whose lines name the session that is served */
  constructor (pid: number, findLog: () => Log) {
    this.#pid = pid
    this.#findLog = findLog
    this.#lines = new Lines({
      maxLength: MAX_LINE,
      onLine: line => { this.#write(line) },
      onTooLong: beginning => { this.#write(`${beginning} …`) }
    })
  }

  push (chunk: Buffer): void {
    this.#lines.push(chunk)
  }

  finish (): void {
    this.#lines.finish()
  }

  #write (line: string): void {
    if (line.trim() === '') return
    const now = performance.now()
    if (now - this.#periodBegan > PERIOD_MS) {
      if (this.#count > MAX_LINES) {
        const dropped = this.#count - MAX_LINES
        this.#findLog().warn({ serverPid: this.#pid, dropped }, 'a hosted server says too much')
      }
      this.#periodBegan = now
      this.#count = 0
    }
    if (++this.#count <= MAX_LINES) this.#findLog().info({ serverPid: this.#pid, stderr: line }, 'a hosted server says')
  }
}
