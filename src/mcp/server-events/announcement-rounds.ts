import type { BusMessages } from '../../stores/bus.js'

type Announcement = BusMessages['announced']

/** Announcements of one thing, as one. */
export interface AnnouncementRound {
  announcement: Announcement
  /** Ids of the sessions whose own servers have announced it: their clients know. */
  sessionIds: ReadonlySet<string>
}

const ROUND_MS = 100

/**
 * Gathers what the servers of sessions announce. Where each session has a server of its own, one change makes all of
 * them announce it: a session without a server now must be told once, and after the last of these announcements.
 */
export class AnnouncementRounds {
  readonly #onRound: (round: AnnouncementRound) => void
  readonly #rounds = new Map<string, { sessionIds: Set<string>, timer: NodeJS.Timeout }>()

  constructor (onRound: (round: AnnouncementRound) => void) {
    this.#onRound = onRound
  }

  add (announcement: Announcement): void {
    const { event, person, sessionId } = announcement
    const key = JSON.stringify([event, person])
    let round = this.#rounds.get(key)
    if (round === undefined) {
      const sessionIds = new Set<string>()
      const timer = setTimeout(() => {
        this.#rounds.delete(key)
        this.#onRound({ announcement, sessionIds })
      }, ROUND_MS).unref()
      this.#rounds.set(key, round = { sessionIds, timer })
    }
    if (sessionId !== undefined) round.sessionIds.add(sessionId)
  }

  close (): void {
    for (const { timer } of this.#rounds.values()) clearTimeout(timer)
    this.#rounds.clear()
  }
}
