import { TemporarilyUnavailableError } from '../errors.js'
import type { Log } from '../log.js'
import { Chain, type LineHash } from './chain.js'
import type { AuditSink } from './sinks/sink.js'

/** What became of events. */
export type AuditOutcome = 'written' | 'lost'

export interface TrailOptions {
  sink: AuditSink
  hash: LineHash
  /** Whether nothing may happen that is not written down. */
  isRequired: boolean
  /** Bytes that may wait to be written. */
  maxQueuedBytes: number
  /** The event that says that the record continues. */
  resumed: (action: 'audit-started' | 'audit-resumed') => string
  log: Log
  /** Called with what became of how many events. */
  onEvents: (outcome: AuditOutcome, count: number) => void
}

interface Waiting {
  text: string
  /** Called once it is kept, or will not be. */
  settle: ((error?: Error) => void) | undefined
}

/** Makes the JSON text of an event, without `audit` and its last brace. */
export type ToText = () => string

const GATHER_MS = 100
const MAX_UNMADE = 500
const GATHER_BYTES = 256 * 1024
const BATCH_BYTES = 1024 * 1024
const RETRY_MS = 1000
const PATIENCE_MS = 5000
const REMIND_MS = 60_000
const RETRY_AFTER_SECONDS = 5

/**
 * Takes events, chains them, and writes them in batches, in order; only those who want to wait for it do. What waits is
 * bounded: beyond, events are lost and counted, and the next one that is written says how many.
 */
export class Trail {
  readonly #options: TrailOptions
  #chain: Chain | undefined
  /** Events whose text is not made yet: to make many at once, apart from the calls, takes half the time. */
  #unmade: ToText[] = []
  #queue: Waiting[] = []
  #bytes = 0
  /** Events lost since the last one that was written. */
  #lost = 0
  #timer: NodeJS.Timeout | undefined
  #writing: Promise<void> | undefined
  #fault: { error: Error, remindedAt: number } | undefined
  #isClosed = false

  constructor (options: TrailOptions) {
    this.#options = options
    this.record(() => options.resumed('audit-started'))
  }

  /** Takes an event, which nobody waits for. @param toText is called within a tenth of a second; it must not throw */
  record (toText: ToText): void {
    this.#unmade.push(toText)
    this.#schedule()
    // what is being written takes its time
    if (this.#unmade.length >= MAX_UNMADE) this.#make()
  }

  /**
   * Takes an event, and resolves once it is kept.
   * @throws {TemporarilyUnavailableError} (rejects) if it cannot be
   */
  async keep (text: string): Promise<void> {
    this.#make()
    if (this.#fault !== undefined || this.#isClosed || this.#isFull(text)) throw unavailable(this.#fault?.error)
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => { reject(unavailable(new Error('the audit log is slow'))) }, PATIENCE_MS)
      const settle = (error?: Error) => {
        clearTimeout(timer)
        if (error === undefined) resolve()
        else reject(unavailable(error))
      }
      this.#add({ text, settle })
      this.#write()
    })
  }

  /** Rejects if events cannot be written. */
  async check (): Promise<void> {
    if (this.#fault !== undefined) throw this.#fault.error
  }

  /** Writes what waits, and lets go of the sink. */
  async close (): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    clearTimeout(this.#timer)
    await this.#writing
    while (!this.#isIdle) {
      this.#write()
      await this.#writing
      if (this.#fault !== undefined) break
    }
    clearTimeout(this.#timer)
    if (this.#queue.length > 0) this.#lose(this.#queue.length)
    await this.#options.sink.close?.()
  }

  #isFull ({ length }: string): boolean {
    return this.#bytes + length > this.#options.maxQueuedBytes
  }

  #add (waiting: Waiting): void {
    this.#queue.push(waiting)
    this.#bytes += waiting.text.length
  }

  #make (): void {
    for (const toText of this.#unmade.splice(0)) {
      const text = toText()
      if (this.#isFull(text)) this.#lose(1)
      else this.#add({ text, settle: undefined })
    }
  }

  get #isIdle (): boolean {
    return this.#queue.length === 0 && this.#unmade.length === 0
  }

  /** Writes soon; at once, if somebody waits, or there is much. */
  #schedule (): void {
    if (this.#writing !== undefined || this.#fault !== undefined || this.#isClosed || this.#isIdle) return
    const isMuch = this.#unmade.length >= MAX_UNMADE || this.#bytes >= GATHER_BYTES
    if (isMuch || this.#queue.some(({ settle }) => settle !== undefined)) this.#write()
    else this.#timer ??= setTimeout(() => { this.#write() }, GATHER_MS).unref()
  }

  #lose (count: number): void {
    const { onEvents, log } = this.#options
    if (this.#lost === 0 && this.#fault === undefined) log.error('audit events are lost: more come than can be written')
    this.#lost += count
    onEvents('lost', count)
  }

  /** Begins to write what waits, unless that runs already. */
  #write (): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    // even if nothing waits, somebody must find out whether it can be written again
    if (this.#writing !== undefined || (this.#isIdle && this.#fault === undefined)) return
    this.#make()
    const batch = this.#takeBatch()
    this.#writing = this.#writeBatch(batch).catch((error: unknown) => {
      this.#failed(batch, error instanceof Error ? error : new Error(String(error)))
    }).finally(() => {
      this.#writing = undefined
      this.#schedule()
    })
  }

  async #writeBatch (batch: readonly Waiting[]): Promise<void> {
    const { sink, onEvents, resumed } = this.#options
    const chain = await this.#open()
    const [before, lost] = [chain.head, this.#lost]
    const texts = batch.map(({ text }) => text)
    if (this.#fault !== undefined || lost > 0) texts.unshift(resumed('audit-resumed'))
    try {
      await sink.write(chain.seal(texts, lost))
    } catch (error) {
      chain.returnTo(before)
      throw error
    }
    this.#lost -= lost
    this.#recovered(lost)
    onEvents('written', texts.length)
    for (const { settle } of batch) settle?.()
  }

  /** The chain, with its sink open. */
  async #open (): Promise<Chain> {
    const { sink, hash } = this.#options
    if (this.#chain === undefined || this.#fault !== undefined) {
      const head = await sink.open?.()
      this.#chain ??= new Chain(hash, head)
    }
    return this.#chain
  }

  #takeBatch (): Waiting[] {
    let [count, bytes] = [0, 0]
    for (const { text } of this.#queue) {
      if (count > 0 && bytes + text.length > BATCH_BYTES) break
      bytes += text.length
      count++
    }
    return this.#queue.splice(0, count)
  }

  /** What nobody waits for stays; the rest is refused, so it never happens. */
  #failed (batch: readonly Waiting[], error: Error): void {
    const { log } = this.#options
    this.#queue = [...batch, ...this.#queue].filter(({ settle }) => {
      settle?.(error)
      return settle === undefined
    })
    this.#bytes = this.#queue.reduce((sum, { text }) => sum + text.length, 0)
    const now = Date.now()
    if (this.#fault === undefined || now - this.#fault.remindedAt >= REMIND_MS) {
      const refused = this.#options.isRequired ? ': calls and logins are refused (AUDIT_REQUIRED)' : ''
      log.error(
        { err: error, waiting: this.#queue.length, lost: this.#lost },
        `THE AUDIT LOG CANNOT BE WRITTEN${refused}; ${this.#lost} events are lost so far`
      )
      this.#fault = { error, remindedAt: now }
    } else this.#fault.error = error
    if (this.#isClosed) return
    this.#timer = setTimeout(() => { this.#write() }, RETRY_MS).unref()
  }

  #recovered (lost: number): void {
    this.#bytes = this.#queue.reduce((sum, { text }) => sum + text.length, 0)
    if (this.#fault === undefined && lost === 0) return
    this.#fault = undefined
    this.#options.log.warn({ lost }, `the audit log is written again; ${lost} events were lost`)
  }
}

function unavailable (cause: Error | undefined): TemporarilyUnavailableError {
  return new TemporarilyUnavailableError('This server cannot write its audit log, and does nothing without it now.', {
    retryAfterSeconds: RETRY_AFTER_SECONDS,
    detail: cause?.message ?? 'too many events wait',
    cause
  })
}
