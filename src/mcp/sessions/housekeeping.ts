import { inSlices } from '../../collections/in-slices.js'
import { waitWhile } from '../../collections/wait-while.js'
import { STANDALONE_STREAM } from '../../stores/event-log.js'
import type { Log } from '../../log.js'
import type { SessionLimits } from '../limits.js'
import { runInBackground } from './background.js'
import type { LiveInstances } from './live-instances.js'
import type { LiveSession } from './live-session.js'

export interface HousekeepingOptions {
  /** The sessions of this process, by id. */
  sessions: ReadonlyMap<string, LiveSession>
  instances: LiveInstances
  limits: SessionLimits
  log: Log
  /** Lets go of a session that nobody uses here; it stays in the store. */
  leave: (session: LiveSession) => void
}

const TIDY_MS = 5000
// to close an instance, and to write to the store, takes longer than to look
const TIDY_SLICES = { size: 100, pauseMs: 5 }
// streams that are opened while the process drains are released again this often
const RELEASE_MS = 200

/** Drops what is idle here, and finds out what has expired. */
export class Housekeeping {
  readonly #options: HousekeepingOptions
  readonly #timer: NodeJS.Timeout
  #isTidying = false

  constructor (options: HousekeepingOptions) {
    this.#options = options
    const everyMs = Math.min(TIDY_MS, options.limits.instanceIdleSeconds * 500)
    this.#timer = setInterval(() => { this.tidy(Date.now()) }, everyMs).unref()
  }

  /**
   * Drops what is idle here: of a hundred sessions at once, of the others after short pauses. Whether a session is over
   * the store alone says: it may be in use elsewhere.
   * @param now milliseconds since the epoch
   */
  tidy (now: number): void {
    const { sessions, instances, limits: { instanceIdleSeconds, idleSeconds }, leave, log } = this.#options
    if (this.#isTidying) return
    this.#isTidying = true
    const unusedSince = now - instanceIdleSeconds * 1000
    const tidying = inSlices(sessions, ([, session]) => {
      // the clock may have been set back
      session.usedAt = Math.min(session.usedAt, now)
      session.life.notLaterThan(now)
      instances.dropIdle(session, unusedSince)
      session.catchUp()
      if (session.isInUse) session.seen(now)
      const isOver = now / 1000 >= session.record.expiresAt || session.life.seenAt <= now - idleSeconds * 1000
      if (isUnused(session) && (isOver || session.life.seenAt <= unusedSince)) leave(session)
      else if (isOver) this.#confirm(session)
    }, TIDY_SLICES).finally(() => { this.#isTidying = false })
    runInBackground(tidying, log, 'idle sessions could not be looked through')
  }

  /**
   * Releases streams, which clients resume on other replicas, and waits until no request runs, or `ms` have passed.
   * Requests that arrive meanwhile are served.
   */
  async drain (ms: number): Promise<void> {
    const deadline = performance.now() + ms
    const { sessions, instances } = this.#options
    const isOver = () => !instances.running || performance.now() >= deadline
    for (;;) {
      await inSlices(sessions.values(), session => {
        if (session.instance?.running !== true && !session.streams.isFollowing) session.streams.release()
        else if (session.record.kind === 'streamable-http') session.streams.release(STANDALONE_STREAM)
      })
      if (isOver()) return
      await waitWhile(() => !isOver(), RELEASE_MS)
    }
  }

  #confirm (session: LiveSession): void {
    const { sessionId, log } = { sessionId: session.record.id, log: this.#options.log }
    runInBackground(session.recheck(), log, 'whether a session is over could not be found out', { sessionId })
  }

  stop (): void {
    clearInterval(this.#timer)
  }
}

function isUnused (session: LiveSession): boolean {
  return session.instance === undefined && session.streams.size === 0 && !session.streams.isFollowing && !session.busy
}
