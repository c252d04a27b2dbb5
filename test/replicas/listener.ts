import { setTimeout as delay } from 'node:timers/promises'
import { valueAt } from '../support/json.js'
import { readEvents } from '../support/raw-http.js'
import type { RawSession } from '../support/raw-session.js'

const RETRY_MS = 100

/** A client that holds its session's GET stream open, and opens it again whenever it ends. */
export class Listener {
  /** How often it was opened, and how often that was refused. */
  opened = 0
  refused = 0
  open = false
  /** What log messages said. */
  readonly heard: string[] = []
  readonly #stopped = new AbortController()

  constructor (session: RawSession, url: string) {
    void this.#listen(session, url)
  }

  stop (): void {
    this.#stopped.abort()
  }

  async #listen (session: RawSession, url: string): Promise<void> {
    const { signal } = this.#stopped
    let lastEventId: string | undefined
    while (!signal.aborted) {
      try {
        const response = await session.get(url, lastEventId, signal)
        this.open = response.status === 200
        if (this.open) this.opened++
        else this.refused++
        for await (const { id, data } of readEvents(response)) {
          lastEventId = id ?? lastEventId
          if (data !== '') this.heard.push(String(valueAt(JSON.parse(data), 'params', 'data')))
        }
      } catch {
        if (signal.aborted) return
      }
      this.open = false
      await delay(RETRY_MS)
    }
  }
}
