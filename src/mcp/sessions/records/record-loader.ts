import type { SessionRecord, SessionStore } from '../../../stores/sessions.js'

interface Loading {
  record: Promise<SessionRecord | undefined>
  /** What was announced meanwhile. */
  hasEnded: boolean
  version: number
}

/** Reads the records of sessions, each once at a time. What is announced of one meanwhile is not lost. */
export class RecordLoader {
  readonly #sessions: SessionStore
  readonly #loading = new Map<string, Loading>()

  constructor (sessions: SessionStore) {
    this.#sessions = sessions
  }

  /** @returns the record, and the newest version that is known; undefined if there is no such session, or no longer */
  async load (sessionId: string): Promise<{ record: SessionRecord, version: number } | undefined> {
    const loading = this.#loading.get(sessionId) ?? this.#begin(sessionId)
    const record = await loading.record
    return record === undefined || loading.hasEnded ? undefined : { record, version: loading.version }
  }

  ended (sessionId: string): void {
    const loading = this.#loading.get(sessionId)
    if (loading !== undefined) loading.hasEnded = true
  }

  changed (sessionId: string, version: number): void {
    const loading = this.#loading.get(sessionId)
    if (loading !== undefined) loading.version = Math.max(loading.version, version)
  }

  #begin (sessionId: string): Loading {
    const record = this.#sessions.get(sessionId).finally(() => { this.#loading.delete(sessionId) })
    const loading = { record, hasEnded: false, version: 0 }
    this.#loading.set(sessionId, loading)
    return loading
  }
}
