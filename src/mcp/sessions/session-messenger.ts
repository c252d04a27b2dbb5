import { limitKey } from '../../caller.js'
import type { JSONRPCMessage, JSONRPCNotification, JSONRPCRequest, ServerEvent } from '@modelcontextprotocol/server'
import type { Log } from '../../log.js'
import type { Bus, SessionNotification } from '../../stores/bus.js'
import type { Replica } from '../replica.js'
import { inSlices } from '../../collections/in-slices.js'
import { AnnouncementRounds } from '../server-events/announcement-rounds.js'
import { announce } from '../server-events/announcements.js'
import { isMessage } from '../wire/messages.js'
import { findDestination } from './message-routing.js'
import { runInBackground } from './background.js'

/** A session of this process, as far as other replicas and other servers reach it. */
export interface ReachableSession {
  /** Whether a server instance serves it here. */
  readonly hasInstance: boolean
  readonly streams: {
    /** Ends the responses that carry a stream; the stream itself continues. */
    release (streamId: string): void
  }
  /** Takes a message of its client that another replica received. */
  receiveForwarded (message: JSONRPCMessage): void
  /** Takes what its client told another replica. */
  receiveNotified (notification: SessionNotification): void
  /** Takes an event that another server announced. @param person the only one it is meant for; undefined: everybody */
  notify (event: ServerEvent, person: string | undefined): void
}

/** A session whose client's messages concern other replicas. */
export interface ForwardingSession {
  readonly record: { readonly id: string }
  readonly person: string
}

export interface SessionMessengerOptions {
  bus: Bus
  replica: Replica
  log: Log
  /** Whether the embedder decides who may subscribe to what. */
  isGuarded: boolean
  /** The sessions of this process, by id. */
  sessions: ReadonlyMap<string, ReachableSession>
  onSessionEnded: (sessionId: string) => void
  /** Called when another replica has changed a session's record, which has this version now. */
  onSessionChanged: (sessionId: string, version: number) => void
  onGrantEnded: (grantId: string) => void
}

/** Notifications of one person's clients that go to all replicas. */
const MAX_TOLD_PER_SECOND = 100

/** What the sessions of this process and those of other replicas tell each other over the bus. */
export class SessionMessenger {
  readonly #options: SessionMessengerOptions
  readonly #subscriptions: ReadonlyArray<() => void>
  readonly #rounds: AnnouncementRounds
  /** What went to all replicas in this second. */
  #told = { second: 0, ofPerson: new Map<string, number>() }

  constructor (options: SessionMessengerOptions) {
    const { bus, replica, sessions, onSessionEnded, onSessionChanged, onGrantEnded } = options
    this.#options = options
    this.#rounds = new AnnouncementRounds(({ announcement: { event, person }, sessionIds }) => {
      this.#notifyAll(event, person, (id, { hasInstance }) => !hasInstance && !sessionIds.has(id))
    })
    this.#subscriptions = [
      bus.subscribe('sessionEnded', ({ sessionId }) => { onSessionEnded(sessionId) }),
      bus.subscribe('grantEnded', ({ grantId }) => { onGrantEnded(grantId) }),
      bus.subscribe('sessionMessage', ({ sessionId, replicaId, message }) => {
        if (replicaId === replica.id && isMessage(message)) sessions.get(sessionId)?.receiveForwarded(message)
      }),
      bus.subscribe('sessionNotified', ({ sessionId, origin, notification }) => {
        if (origin !== replica.id) sessions.get(sessionId)?.receiveNotified(notification)
      }),
      bus.subscribe('sessionChanged', ({ sessionId, origin, version }) => {
        if (origin !== replica.id) onSessionChanged(sessionId, version)
      }),
      bus.subscribe('announced', announcement => {
        const { event, era, person } = announcement
        // a session's server announces to its own client; one without a server learns it from the others'
        if (era === 'legacy') this.#rounds.add(announcement)
        else this.#notifyAll(event, person, () => true)
      })
    ]
  }

  /**
   * Hands a message of a session's client to the replica that waits for it, or informs all of it, if it may concern any
   * other. Of one person's clients, all replicas learn so much in a second, and no more.
   * @param isConcerned whether it concerns the instance here
   */
  forward (
    { record, person }: ForwardingSession,
    message: Exclude<JSONRPCMessage, JSONRPCRequest>,
    isConcerned: boolean
  ): void {
    const destination = findDestination(message, isConcerned)
    if (destination === undefined) return
    const { bus, replica } = this.#options
    const { id: sessionId } = record
    if ('notification' in destination) {
      if (!this.#mayTellAll(limitKey(person))) return
      const { notification } = destination
      this.#background(bus.publish('sessionNotified', { sessionId, origin: replica.id, notification }))
    } else if (destination.replicaId !== replica.id) {
      const { replicaId } = destination
      this.#background(bus.send(replicaId, 'sessionMessage', { sessionId, replicaId, message }))
    }
  }

  #mayTellAll (person: string): boolean {
    const second = Math.floor(performance.now() / 1000)
    if (this.#told.second !== second) this.#told = { second, ofPerson: new Map() }
    const told = this.#told.ofPerson.get(person) ?? 0
    this.#told.ofPerson.set(person, told + 1)
    return told < MAX_TOLD_PER_SECOND
  }

  /** Passes on what the server of a person announces outside of any request. */
  announce (notification: JSONRPCNotification, person: string, sessionId: string): void {
    const { bus, log, isGuarded } = this.#options
    announce(bus, log, notification, { era: 'legacy', person, isGuarded, sessionId })
  }

  #notifyAll (
    event: ServerEvent,
    person: string | undefined,
    isToBeTold: (id: string, session: ReachableSession) => boolean
  ): void {
    const { sessions, log } = this.#options
    const telling = inSlices(sessions, ([id, session]) => {
      if (isToBeTold(id, session)) session.notify(event, person)
    })
    runInBackground(telling, log, 'sessions could not be notified')
  }

  close (): void {
    for (const unsubscribe of this.#subscriptions) unsubscribe()
    this.#rounds.close()
  }

  #background (publishing: Promise<void>): void {
    runInBackground(publishing, this.#options.log, 'the other replicas could not be told about a session')
  }
}
