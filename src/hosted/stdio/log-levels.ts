/** Of `notifications/message` (RFC 5424), the least important first. */
const LEVELS: readonly unknown[] = ['debug', 'info', 'notice', 'warning', 'error', 'critical', 'alert', 'emergency']

/** The levels that those who share a server have set. The server gets the one that says most. */
export class LogLevels<Listener> {
  readonly #levels = new Map<Listener, string>()

  /** @returns the level that the server must have then */
  set (listener: Listener, level: string): string {
    this.#levels.set(listener, level)
    const [most = level] = [...this.#levels.values()].sort((a, b) => LEVELS.indexOf(a) - LEVELS.indexOf(b))
    return most
  }

  leave (listener: Listener): void {
    this.#levels.delete(listener)
  }

  /** Whether a listener wants messages of a level. */
  wants (listener: Listener, level: unknown): boolean {
    const set = this.#levels.get(listener)
    return set === undefined || LEVELS.indexOf(level) >= LEVELS.indexOf(set)
  }
}
