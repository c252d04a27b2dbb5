import { inSlices } from '../../collections/in-slices.js'
import type { CallerInfo } from '../../caller.js'
import type { Log } from '../../log.js'
import { toNotification } from '../server-events/announcements.js'
import type { MaySubscribe } from '../server-events/may-subscribe.js'
import type { Guard } from './guard.js'

/** A session whose client is told when its lists have changed. */
export interface WatchedSession {
  readonly caller: CallerInfo
  readonly record: { readonly access?: string, readonly subscriptions: readonly string[] }
  readonly streams: { readonly hasStandalone: boolean, say (data: string): void }
  change (change: { access: string }): void
}

/** Between two changes of a session's access: who changes between two tokens all the time is told now and then. */
const LEAST_MS = 1000

/** What the callers of one session may use: when it changes, so do the lists that its client has. */
export class WatchedAccess {
  readonly #guard: Guard
  readonly #session: WatchedSession
  #changedAt = -Infinity
  /** Until a change may be noted that came too soon. */
  #later: NodeJS.Timeout | undefined

  constructor (guard: Guard, session: WatchedSession) {
    this.#guard = guard
    this.#session = session
  }

  /** Notes who calls now: with another access than before, the client's lists have changed. */
  called (): void {
    if (this.#note()) this.#sayListsChanged()
  }

  /** The rules of the policy have changed. Who does not listen here is told elsewhere, or asks later. */
  rulesReplaced (): void {
    if (!this.#session.streams.hasStandalone) return
    this.#note()
    this.#sayListsChanged()
  }

  /** Whether the client may not be told that a resource has changed. */
  hides (uri: string, caller = this.#session.caller): boolean {
    return !this.#guard.mayRead(uri, { caller, server: undefined })
  }

  /** Subscriptions that the policy, and the embedder's own rule, allow now. */
  restrict (maySubscribe: MaySubscribe | undefined): MaySubscribe {
    return (caller, uri) => !this.hides(uri, caller) && (maySubscribe?.(caller, uri) ?? true)
  }

  /** This process no longer serves the session. */
  close (): void {
    clearTimeout(this.#later)
  }

  /** @returns whether the access was another before */
  #note (): boolean {
    const { caller, record: { access: before } } = this.#session
    const access = this.#guard.fingerprintAccess(caller)
    if (access === before) return false
    const now = performance.now()
    const early = this.#changedAt + LEAST_MS - now
    if (early > 0) {
      clearTimeout(this.#later)
      this.#later = setTimeout(() => { this.#noteLater(before) }, early).unref()
      return false
    }
    this.#changedAt = now
    this.#session.change({ access })
    return before !== undefined
  }

  /** @param before if it is another by now, its client was told elsewhere */
  #noteLater (before: string | undefined): void {
    if (this.#session.record.access === before) this.called()
  }

  #sayListsChanged (): void {
    for (const event of this.#guard.listEvents) this.#session.streams.say(JSON.stringify(toNotification(event)))
  }
}

/** Informs the clients of sessions each time the rules have changed. @returns a function that ends it */
export function watchRules (
  guard: Guard | undefined,
  sessions: ReadonlyMap<string, { readonly access: WatchedAccess | undefined }>,
  log: Log
): () => void {
  if (guard === undefined) return () => {}
  return guard.policy.onReplaced(() => {
    inSlices(sessions.values(), ({ access }) => { access?.rulesReplaced() }).catch((err: unknown) => {
      log.error({ err }, 'sessions could not be told of the new policy')
    })
  })
}
