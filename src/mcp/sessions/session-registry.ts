import { randomBytes } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import {
  InitializeRequestSchema,
  type JSONRPCMessage,
  type JSONRPCNotification,
  type JSONRPCRequest,
  type MessageExtraInfo
} from '@modelcontextprotocol/sdk/types.js'
import { personKey, type CallerInfo } from '../../caller.js'
import { BodyTooLargeError, InvalidInitializeError, SessionNotFoundError, ShuttingDownError } from '../../errors.js'
import type { Bus } from '../../stores/bus.js'
import { STANDALONE_STREAM, type EventLog } from '../../stores/event-log.js'
import type { SessionChange, SessionOwner, SessionRecord, SessionStore } from '../../stores/sessions.js'
import type { Admission } from '../admission/admission.js'
import type { PluggedServer } from '../create-server.js'
import type { Log } from '../../log.js'
import { AbandonedStreams } from './orphaned-streams.js'
import { announce } from '../server-events/announcements.js'
import { invalidParamsMessage } from '../wire/invalid-params.js'
import { isMessage } from '../wire/messages.js'
import { defaultLimits, type SessionLimits } from '../limits.js'
import { LiveInstances } from './live-instances.js'
import { LiveSession, type SessionHost } from './live-session.js'
import type { MaySubscribe } from '../server-events/may-subscribe.js'
import type { McpCounts, McpObserver } from '../observer.js'
import { OpenStreams, type StreamPlace } from '../transport/open-streams.js'
import type { Replica } from '../replica.js'
import { defaultStreamOptions, type McpTransportsOptions, type StreamOptions } from '../options.js'
import { serverContext } from '../server-context.js'
import type { TaskTools } from '../tasks/task-tools.js'

export type SessionRegistryOptions =
  Pick<McpTransportsOptions, 'createServer' | 'sessions' | 'eventLog' | 'bus' | 'getUpstreamAccessToken' | 'limits' | 'streams' | 'mcpObserver' | 'maySubscribe'> &
  {
    log: Log
    replica: Replica
    admission: Admission
    taskTools: TaskTools
  }

const HOUSEKEEPING_MS = 5000
const DRAIN_POLL_MS = 20
const ABANDONED_CHECK_MS = 1000

/** All sessions of this process, of either transport. Records live in the store; instances come and go with use. */
export class SessionRegistry implements SessionHost {
  readonly sessions: SessionStore
  readonly eventLog: EventLog
  readonly limits: SessionLimits
  readonly admission: Admission
  readonly streamOptions: StreamOptions
  readonly openStreams: OpenStreams
  readonly taskTools: TaskTools
  readonly log: Log
  readonly observer: McpObserver | undefined
  readonly maySubscribe: MaySubscribe | undefined
  readonly #bus: Bus
  readonly #options: SessionRegistryOptions
  readonly #live = new Map<string, LiveSession>()
  readonly #opening = new Map<string, Promise<SessionRecord | undefined>>()
  readonly #instances: LiveInstances
  readonly #subscriptions: Array<() => void>
  readonly #housekeeping: NodeJS.Timeout
  readonly #replica: Replica
  readonly #abandoned: AbandonedStreams
  readonly #abandonedCheck: NodeJS.Timeout
  #closing = false

  constructor (options: SessionRegistryOptions) {
    this.#options = options
    this.sessions = options.sessions
    this.eventLog = options.eventLog
    this.#bus = options.bus
    this.#replica = options.replica
    this.log = options.log
    this.observer = options.mcpObserver
    this.maySubscribe = options.maySubscribe
    this.limits = { ...defaultLimits, ...options.limits }
    this.streamOptions = { ...defaultStreamOptions, ...options.streams }
    this.admission = options.admission
    this.taskTools = options.taskTools
    this.#instances = new LiveInstances(this.admission, session => {
      session.tellSeen()
      this.#background(session.dropInstance())
    })
    this.openStreams = new OpenStreams({ admission: this.admission, ...this.streamOptions })
    this.#subscriptions = [
      this.#bus.subscribe('sessionEnded', ({ sessionId }) => { this.#forget(sessionId) }),
      this.#bus.subscribe('grantEnded', ({ grantId }) => { this.#endGrant(grantId) }),
      this.#bus.subscribe('sessionMessage', ({ sessionId, origin, message }) => {
        if (origin !== this.#replica.id && isMessage(message)) this.#receiveForwarded(sessionId, message)
      }),
      this.#bus.subscribe('sessionChanged', ({ sessionId, origin, change }) => {
        if (origin !== this.#replica.id) this.#live.get(sessionId)?.changedElsewhere(change)
      }),
      // what a session's own server announces goes to its own client: the other sessions have servers of their own
      this.#bus.subscribe('announced', ({ event, era, person }) => {
        if (era !== 'session') for (const session of this.#live.values()) session.hear(event, person)
      })
    ]
    this.#abandoned = new AbandonedStreams(options.eventLog, options.replica)
    this.#abandonedCheck = setInterval(() => {
      this.#settleAbandoned()
    }, ABANDONED_CHECK_MS).unref()
    this.#housekeeping = setInterval(() => {
      this.tidy(Date.now())
    }, Math.min(HOUSEKEEPING_MS, this.limits.instanceIdleSeconds * 500)).unref()
  }

  /** Sessions that this process has to do with, and instances it holds. */
  get counts (): McpCounts {
    return { sessions: this.#live.size, instances: this.#instances.size, streams: this.openStreams.size }
  }

  /**
   * Begins a Streamable HTTP session.
   * @returns the session and the result of the client's `initialize`
   * @throws {InvalidInitializeError} @throws {BodyTooLargeError} @throws {ShuttingDownError} @throws {SessionsFullError}
   * @throws {TooManyRequestsError} @throws {ServerFullError}
   */
  async initialize (
    request: JSONRPCRequest,
    caller: CallerInfo,
    extra: MessageExtraInfo
  ): Promise<{ session: LiveSession, result: Record<string, unknown> }> {
    const { error: invalid } = InitializeRequestSchema.safeParse(request)
    if (invalid !== undefined) {
      throw new InvalidInitializeError(invalidParamsMessage(invalid.issues), { requestId: request.id })
    }
    const params = request.params ?? {}
    if (JSON.stringify(params).length > this.limits.maxInitializeBytes) {
      throw new BodyTooLargeError(
        `The parameters of initialize are larger than ${this.limits.maxInitializeBytes} bytes.`
      )
    }
    const session = this.#begin('streamable-http', caller)
    try {
      const result = await session.initialize(params, extra)
      session.record.initializeParams = params
      session.record.protocolVersion = String(result.protocolVersion)
      await this.#add(session)
      return { session, result }
    } catch (error) {
      this.release(session)
      await session.dispose()
      throw error instanceof InvalidInitializeError
        ? new InvalidInitializeError(error.message, { requestId: request.id })
        : error
    }
  }

  /**
   * Begins an HTTP+SSE session; its `initialize` comes later, as a message.
   * @returns the session, and the place for its stream
   * @throws {ShuttingDownError} @throws {SessionsFullError} @throws {TooManyRequestsError} @throws {ServerFullError}
   */
  async open (caller: CallerInfo): Promise<{ session: LiveSession, place: StreamPlace }> {
    const place = this.openStreams.reserve(personKey(caller.extra))
    try {
      const session = this.#begin('sse', caller)
      await this.#add(session)
      return { session, place }
    } catch (error) {
      place.free()
      throw error
    }
  }

  /**
   * The session of an id, if this process knows it: so a call in a session that is in use asks no store.
   * @throws {SessionNotFoundError} if it is somebody else's @throws {ShuttingDownError}
   */
  findLive (sessionId: string, caller: CallerInfo, kind: SessionRecord['kind']): LiveSession | undefined {
    if (this.#closing) throw shuttingDown()
    const session = this.#live.get(sessionId)
    if (session !== undefined) check(session.record, caller, kind)
    return session
  }

  /**
   * The session of an id, if it is this caller's.
   * @throws {SessionNotFoundError} if it is unknown, has ended, or is somebody else's @throws {ShuttingDownError}
   */
  async find (sessionId: string, caller: CallerInfo, kind: SessionRecord['kind']): Promise<LiveSession> {
    return this.findLive(sessionId, caller, kind) ?? await this.#load(sessionId, caller, kind)
  }

  async #load (sessionId: string, caller: CallerInfo, kind: SessionRecord['kind']): Promise<LiveSession> {
    let opening = this.#opening.get(sessionId)
    if (opening === undefined) {
      opening = this.sessions.get(sessionId).finally(() => { this.#opening.delete(sessionId) })
      this.#opening.set(sessionId, opening)
    }
    const record = await opening
    if (record === undefined) throw notFound()
    check(record, caller, kind)
    let session = this.#live.get(sessionId)
    if (session === undefined) this.#live.set(sessionId, session = new LiveSession(this, record, caller))
    return session
  }

  /** Begins to end a session, here and on every replica. */
  end (sessionId: string): void {
    this.#forget(sessionId)
    this.delete(sessionId).catch((err: unknown) => {
      this.log.error({ err, sessionId }, 'a session could not be ended everywhere')
    })
  }

  /**
   * Ends a session for its client.
   * @throws {TemporarilyUnavailableError} (rejects with it) where the store cannot be told: the session goes on
   */
  async delete (sessionId: string): Promise<void> {
    await this.sessions.delete(sessionId)
    await this.eventLog.deleteSession(sessionId)
    await this.#bus.publish('sessionEnded', { sessionId })
  }

  createServer (session: LiveSession): PluggedServer | Promise<PluggedServer> {
    return this.#options.createServer(serverContext(this.#options, this.log, () => session.caller))
  }

  newStreamId (): string {
    return this.#replica.newId()
  }

  newInstanceTag (): string {
    return `${this.#replica.newId()}.`
  }

  forward (sessionId: string, message: JSONRPCMessage): void {
    this.#background(this.#bus.publish('sessionMessage', { sessionId, origin: this.#replica.id, message }))
  }

  changed (sessionId: string, change: SessionChange): void {
    this.#background(this.#bus.publish('sessionChanged', { sessionId, origin: this.#replica.id, change }))
  }

  announce (notification: JSONRPCNotification, person: string): void {
    announce(this.#bus, this.log, notification, { era: 'session', person, isGuarded: this.maySubscribe !== undefined })
  }

  /** Notes a request, for which the session's instance is used. */
  used (session: LiveSession): void {
    session.used(Date.now())
    this.#instances.used(session)
  }

  reserve (session: LiveSession): void {
    this.#instances.reserve(session)
  }

  release (session: LiveSession): void {
    this.#instances.release(session)
  }

  /** Drops what is idle, ends what is over. `now` is milliseconds since the epoch. */
  tidy (now: number): void {
    const { instanceIdleSeconds, idleSeconds } = this.limits
    this.#instances.dropIdle(now - instanceIdleSeconds * 1000)
    for (const [id, session] of this.#live) {
      if (session.streams.size > 0) session.seen(now)
      if (now / 1000 >= session.record.expiresAt || session.seenAt <= now - idleSeconds * 1000) this.end(id)
      else if (
        session.instance === undefined && session.streams.size === 0 && !session.busy &&
        session.seenAt <= now - instanceIdleSeconds * 1000
      ) {
        session.tellSeen()
        session.leave()
        this.#live.delete(id)
      }
    }
  }

  /** Lets go of streams, which go on elsewhere, and waits until nothing runs, or `ms` have passed. What comes meanwhile is served. */
  async drain (ms: number): Promise<void> {
    const deadline = Date.now() + ms
    for (;;) {
      for (const session of this.#live.values()) {
        if (session.instance?.running !== true) session.releaseStreams()
        else if (session.record.kind === 'streamable-http') session.releaseStreams(STANDALONE_STREAM)
      }
      if (!this.#instances.running || Date.now() >= deadline) return
      await delay(DRAIN_POLL_MS)
    }
  }

  /** Ends streams and instances of this process, and takes no more requests; sessions in a shared store go on elsewhere. */
  async close (): Promise<void> {
    this.#closing = true
    clearInterval(this.#housekeeping)
    clearInterval(this.#abandonedCheck)
    for (const unsubscribe of this.#subscriptions) unsubscribe()
    const sessions = [...this.#live.values()]
    for (const session of sessions) session.instance?.failAll(-32000, 'The server is shutting down.')
    this.openStreams.endAll(this.streamOptions.retryMs)
    this.openStreams.close()
    await Promise.all(sessions.map(session => session.dispose()))
    this.#live.clear()
    this.#instances.clear()
  }

  #begin (kind: SessionRecord['kind'], caller: CallerInfo): LiveSession {
    if (this.#closing) throw shuttingDown()
    const now = Math.floor(Date.now() / 1000)
    return new LiveSession(this, {
      id: randomBytes(24).toString('base64url'),
      kind,
      owner: { issuer: caller.extra.issuer, subject: caller.extra.subject, clientId: caller.clientId },
      initialized: false,
      subscriptions: [],
      lastSeenAt: now,
      expiresAt: now + this.limits.lifetimeSeconds
    }, caller)
  }

  async #add (session: LiveSession): Promise<void> {
    const { maxSessionsPerOwner: perOwner, maxSessionsPerPerson: perPerson } = this.limits
    const ended = await this.sessions.create(session.record, { perOwner, perPerson })
    this.#live.set(session.record.id, session)
    for (const id of ended) this.end(id)
  }

  /** Streams that clients read here, and that a replica wrote which has died. */
  #settleAbandoned (): void {
    for (const session of this.#live.values()) {
      for (const { holder } of session.streams) {
        if (this.#abandoned.isForeign(holder.streamId)) {
          this.#background(this.#abandoned.settle(session.record.id, holder.streamId))
        }
      }
    }
  }

  #receiveForwarded (sessionId: string, message: JSONRPCMessage): void {
    const session = this.#live.get(sessionId)
    session?.instance?.receiveForwarded(message, { authInfo: session.caller })
  }

  #forget (sessionId: string): void {
    const session = this.#live.get(sessionId)
    if (session === undefined) return
    this.#live.delete(sessionId)
    this.#instances.release(session)
    this.#background(session.dispose())
  }

  #endGrant (grantId: string): void {
    this.openStreams.endOfGrant(grantId)
    this.#instances.endGrant(grantId)
  }

  #background (work: Promise<unknown>): void {
    work.catch((err: unknown) => { this.log.error({ err }, 'what a session left to be done in the background failed') })
  }
}

function check (record: SessionRecord, caller: CallerInfo, kind: SessionRecord['kind']): void {
  if (!isOwner(record.owner, caller) || record.kind !== kind) throw notFound()
}

function isOwner (owner: SessionOwner, caller: CallerInfo): boolean {
  return owner.subject === caller.extra.subject && owner.clientId === caller.clientId &&
    owner.issuer === caller.extra.issuer
}

function shuttingDown (): ShuttingDownError {
  return new ShuttingDownError('This server is shutting down.', { retryAfterSeconds: 1 })
}

function notFound (): SessionNotFoundError {
  return new SessionNotFoundError('Session not found: it is unknown or has ended. Initialize a new one.')
}
