import type { JSONRPCMessage, JSONRPCNotification, ServerEvent } from '@modelcontextprotocol/server'
import type { Log } from '../../log.js'
import type { Bus } from '../../stores/bus.js'
import type { SessionChange } from '../../stores/sessions.js'
import type { Replica } from '../replica.js'
import { announce } from '../server-events/announcements.js'
import { isMessage } from '../wire/messages.js'
import { runInBackground } from './background.js'

/** A session of this process, as far as other replicas and other servers reach it. */
export interface ReachableSession {
  /** Takes a message of its client that another replica received. */
  receiveForwarded (message: JSONRPCMessage): void
  /** Takes a change of its record that another replica made. */
  changedElsewhere (change: SessionChange): void
  /** Takes an event that another server announced. @param person the only one it is meant for; undefined: everybody */
  notify (event: ServerEvent, person: string | undefined): void
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
  onGrantEnded: (grantId: string) => void
}

/** What the sessions of this process and those of other replicas tell each other over the bus. */
export class SessionMessenger {
  readonly #options: SessionMessengerOptions
  readonly #subscriptions: ReadonlyArray<() => void>

  constructor (options: SessionMessengerOptions) {
    const { bus, replica, sessions, onSessionEnded, onGrantEnded } = options
    this.#options = options
    this.#subscriptions = [
      bus.subscribe('sessionEnded', ({ sessionId }) => { onSessionEnded(sessionId) }),
      bus.subscribe('grantEnded', ({ grantId }) => { onGrantEnded(grantId) }),
      bus.subscribe('sessionMessage', ({ sessionId, origin, message }) => {
        if (origin !== replica.id && isMessage(message)) sessions.get(sessionId)?.receiveForwarded(message)
      }),
      bus.subscribe('sessionChanged', ({ sessionId, origin, change }) => {
        if (origin !== replica.id) sessions.get(sessionId)?.changedElsewhere(change)
      }),
      // every session has a server of its own, which announces to its own client
      bus.subscribe('announced', ({ event, era, person }) => {
        if (era !== 'legacy') for (const session of sessions.values()) session.notify(event, person)
      })
    ]
  }

  /** Hands a message of a session's client to whichever replica waits for it. */
  forward (sessionId: string, message: JSONRPCMessage): void {
    const { bus, replica } = this.#options
    this.#background(bus.publish('sessionMessage', { sessionId, origin: replica.id, message }))
  }

  /** Informs the other replicas that a session's record has changed. */
  changed (sessionId: string, change: SessionChange): void {
    const { bus, replica } = this.#options
    this.#background(bus.publish('sessionChanged', { sessionId, origin: replica.id, change }))
  }

  /** Passes on what the server of a person announces outside of any request. */
  announce (notification: JSONRPCNotification, person: string): void {
    const { bus, log, isGuarded } = this.#options
    announce(bus, log, notification, { era: 'legacy', person, isGuarded })
  }

  /** Informs every replica that a session has ended. Rejects if the bus cannot be reached. */
  async ended (sessionId: string): Promise<void> {
    await this.#options.bus.publish('sessionEnded', { sessionId })
  }

  close (): void {
    for (const unsubscribe of this.#subscriptions) unsubscribe()
  }

  #background (publishing: Promise<void>): void {
    runInBackground(publishing, this.#options.log, 'the other replicas could not be told about a session')
  }
}
