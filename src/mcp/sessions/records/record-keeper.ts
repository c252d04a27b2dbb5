import { applyChange, type SessionChange, type SessionRecord, type SessionStore } from '../../../stores/sessions.js'

export interface RecordKeeperOptions {
  sessions: SessionStore
  record: SessionRecord
  /** Id of this replica. */
  origin: string
  /** Called when the record has changed otherwise than by `change`. */
  onChanged: () => void
  /** Called when the store no longer has the session. */
  onGone: () => void
}

/**
 * The record of a live session, which follows the store's: changes are made here at once, written in order, and told to
 * the others by the store. After any change that is not known here the record is read again, so all replicas come to
 * have the same.
 */
export class RecordKeeper {
  readonly #options: RecordKeeperOptions
  /** Made here, and not written yet. */
  readonly #unwritten: SessionChange[] = []
  /** Whether the store's is, or may be, another. */
  #isStale = false
  #working: Promise<void> | undefined

  constructor (options: RecordKeeperOptions) {
    this.#options = options
  }

  /** Whether something could not be written or read when it was due. */
  get isBehind (): boolean {
    return this.#working === undefined && (this.#isStale || this.#unwritten.length > 0)
  }

  /** Changes the record. Resolves once it is written. */
  change (change: SessionChange): Promise<void> {
    applyChange(this.#options.record, change)
    this.#unwritten.push(change)
    return this.catchUp()
  }

  /** The record has this version in the store. Resolves once it is the same here. */
  async hasVersion (version: number): Promise<void> {
    if (version > (this.#options.record.version ?? 0)) await this.reread()
  }

  /** Reads the record again. */
  reread (): Promise<void> {
    this.#isStale = true
    return this.catchUp()
  }

  /** Writes what is not written, and reads what may be another. Rejects if the store cannot be reached. */
  catchUp (): Promise<void> {
    this.#working ??= this.#work().finally(() => { this.#working = undefined })
    return this.#working
  }

  async #work (): Promise<void> {
    for (;;) {
      const [change] = this.#unwritten
      const goesOn = change !== undefined ? await this.#write(change) : this.#isStale && await this.#read()
      if (!goesOn) return
    }
  }

  /** @returns whether the session continues */
  async #write (change: SessionChange): Promise<boolean> {
    const { sessions, record, origin, onGone } = this.#options
    const version = await sessions.change(record.id, change, origin)
    this.#unwritten.shift()
    if (version === undefined) {
      onGone()
      return false
    }
    if (version === (record.version ?? 0) + 1) record.version = version
    else this.#isStale = true
    return true
  }

  /** @returns whether the session continues */
  async #read (): Promise<boolean> {
    const { sessions, record, onChanged, onGone } = this.#options
    this.#isStale = false
    let stored
    try {
      stored = await sessions.get(record.id)
    } catch (error) {
      this.#isStale = true
      throw error
    }
    if (stored === undefined) {
      onGone()
      return false
    }
    if (stored.logLevel === undefined) delete record.logLevel
    Object.assign(record, stored)
    for (const change of this.#unwritten) applyChange(record, change)
    onChanged()
    return true
  }
}
