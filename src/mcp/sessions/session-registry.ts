import type { JSONRPCRequest } from '@modelcontextprotocol/server'
import { personKey, type CallerInfo } from '../../caller.js'
import { InitializeFailedError, InvalidInitializeError } from '../../errors.js'
import { withDefaults } from '../../members.js'
import type { EventLog } from '../../stores/event-log.js'
import type { SessionRecord, SessionStore } from '../../stores/sessions.js'
import { Guard, type WithBaseScopes } from '../access/guard.js'
import { watchRules } from '../access/watched-access.js'
import type { Admission } from '../admission/admission.js'
import { makeServer } from '../sdk-servers.js'
import type { Log } from '../../log.js'
import { defaultLimits, type SessionLimits } from '../limits.js'
import type { MaySubscribe } from '../server-events/may-subscribe.js'
import type { McpCounts, McpObserver } from '../observer.js'
import { OpenStreams, type StreamPlace } from '../transport/open-streams.js'
import type { Replica } from '../replica.js'
import { defaultStreamOptions, type McpTransportsOptions, type StreamOptions } from '../options.js'
import { serverContext } from '../server-context.js'
import type { TaskTools } from '../tasks/task-tools.js'
import { runInBackground } from './background.js'
import { makeRecord } from './records/make-record.js'
import { RecordLoader } from './records/record-loader.js'
import { Recheck } from '../recheck.js'
import { Housekeeping } from './housekeeping.js'
import { callerOfSession } from '../anonymous-callers.js'
import { parseInitializeParams } from './initialize-params.js'
import { LiveInstances } from './live-instances.js'
import { LiveSession } from './live-session.js'
import { assertAccess, sessionNotFound, shuttingDown } from './session-access.js'
import type { SessionHost } from './session-host.js'
import { SessionMessenger } from './session-messenger.js'
import { jsonRpcCodes } from '../../json-rpc-codes.js'
import type { MessageExtra } from '../transport/message-extra.js'

export interface SessionRegistryOptions extends
  Pick<
    McpTransportsOptions,
    | 'createServer' | 'sessions' | 'eventLog' | 'bus' | 'getUpstreamAccessToken' | 'limits' | 'streams' | 'mcpObserver'
    | 'maySubscribe' | 'policy'
  >, WithBaseScopes {
  log: Log
  replica: Replica
  admission: Admission
  taskTools: TaskTools
}

/**
 * The sessions that this process serves, of either transport: begins them, finds them, ends them. Records live in the
 * store; instances are created and dropped with use.
 */
export class SessionRegistry implements SessionHost {
  readonly sessions: SessionStore
  readonly eventLog: EventLog
  readonly limits: SessionLimits
  readonly admission: Admission
  readonly replica: Replica
  readonly streamOptions: StreamOptions
  readonly openStreams: OpenStreams
  readonly instances: LiveInstances
  readonly messenger: SessionMessenger
  readonly taskTools: TaskTools
  readonly log: Log
  readonly observer: McpObserver | undefined
  readonly maySubscribe: MaySubscribe | undefined
  readonly guard: Guard | undefined
  readonly keepsSessions: boolean
  readonly #options: SessionRegistryOptions
  readonly #live = new Map<string, LiveSession>()
  readonly #loader: RecordLoader
  readonly #recheck: Recheck<LiveSession>
  readonly #unsubscribe: ReadonlyArray<() => void>
  readonly #housekeeping: Housekeeping
  #closing = false

  constructor (options: SessionRegistryOptions) {
    const { sessions, eventLog, bus, replica, log, admission, taskTools, mcpObserver, maySubscribe } = options
    this.#options = options
    this.sessions = sessions
    this.eventLog = eventLog
    this.replica = replica
    this.log = log
    this.observer = mcpObserver
    this.maySubscribe = maySubscribe
    this.guard = options.policy && new Guard(options.policy, 'legacy', options.baseScopes)
    this.keepsSessions = options.createServer.keepsSessions === true
    this.limits = withDefaults(defaultLimits, options.limits)
    this.streamOptions = withDefaults(defaultStreamOptions, options.streams)
    this.admission = admission
    this.taskTools = taskTools
    this.instances = new LiveInstances(admission)
    this.openStreams = new OpenStreams({ admission, ...this.streamOptions })
    this.messenger = new SessionMessenger({
      bus,
      replica,
      log,
      isGuarded: maySubscribe !== undefined,
      sessions: this.#live,
      onSessionEnded: sessionId => {
        this.#loader.ended(sessionId)
        this.#forget(sessionId)
      },
      onSessionChanged: (sessionId, version) => {
        this.#loader.changed(sessionId, version)
        this.#live.get(sessionId)?.changedElsewhere(version)
      },
      onGrantEnded: grantId => {
        this.openStreams.endGrant(grantId)
        this.instances.endGrant(grantId)
      }
    })
    this.#loader = new RecordLoader(sessions)
    this.#recheck = new Recheck(() => this.#live.values(), async batch => {
      await Promise.all(batch.map(session => session.recheck()))
    })
    this.#unsubscribe = [bus.onGap(() => { this.#recheck.begin() }), watchRules(this.guard, this.#live, log)]
    this.#housekeeping = new Housekeeping({
      sessions: this.#live,
      instances: this.instances,
      limits: this.limits,
      log,
      leave: session => { this.#leave(session) }
    })
  }

  /** How many sessions, server instances and streams this process has. */
  get counts (): McpCounts {
    return { sessions: this.#live.size, instances: this.instances.size, streams: this.openStreams.size }
  }

  /**
   * Begins a Streamable HTTP session.
   * @returns the session and the result of the client's `initialize`
   * @throws {InvalidInitializeError} @throws {InitializeFailedError} @throws {BodyTooLargeError}
   * @throws {ShuttingDownError} @throws {SessionsFullError} @throws {TooManyRequestsError} @throws {ServerFullError}
   */
  async initialize (
    request: JSONRPCRequest,
    caller: CallerInfo,
    extra: MessageExtra
  ): Promise<{ session: LiveSession, result: Record<string, unknown> }> {
    const params = parseInitializeParams(request, this.limits.maxInitializeBytes)
    const session = this.#begin('streamable-http', caller)
    try {
      const result = await session.initialize(request, params, { ...extra, authInfo: session.caller })
      session.record.initializeParams = params
      session.record.protocolVersion = String(result.protocolVersion)
      await this.#add(session)
      return { session, result }
    } catch (error) {
      this.instances.release(session)
      await session.dispose()
      const requestId = request.id
      if (error instanceof InvalidInitializeError) throw new InvalidInitializeError(error.message, { requestId })
      throw error instanceof InitializeFailedError ? error.inResponseTo(requestId) : error
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
   * The session with an id, if it is live in this process: then a request never waits for the store.
   * @throws {SessionNotFoundError} if it is somebody else's @throws {ShuttingDownError}
   */
  findLive (sessionId: string, caller: CallerInfo, kind: SessionRecord['kind']): LiveSession | undefined {
    if (this.#closing) throw shuttingDown()
    const session = this.#live.get(sessionId)
    if (session !== undefined) assertAccess(session.record, caller, kind)
    return session
  }

  /**
   * The session with an id, if it is this caller's.
   * @throws {SessionNotFoundError} if it is unknown, has ended, or is somebody else's @throws {ShuttingDownError}
   */
  async find (sessionId: string, caller: CallerInfo, kind: SessionRecord['kind']): Promise<LiveSession> {
    return this.findLive(sessionId, caller, kind) ?? await this.#load(sessionId, caller, kind)
  }

  async #load (sessionId: string, caller: CallerInfo, kind: SessionRecord['kind']): Promise<LiveSession> {
    const loaded = await this.#loader.load(sessionId)
    if (loaded === undefined) throw sessionNotFound()
    assertAccess(loaded.record, caller, kind)
    let session = this.#live.get(sessionId)
    if (session === undefined) this.#live.set(sessionId, session = new LiveSession(this, loaded.record, caller))
    session.changedElsewhere(loaded.version)
    return session
  }

  /** What the client of a session says of itself, if the session is live in this process. */
  findClientInfo (sessionId: string): unknown {
    return this.#live.get(sessionId)?.record.initializeParams?.clientInfo
  }

  /** The grants under which sessions are used here. */
  * grantsInUse (): Iterable<string | undefined> {
    for (const session of this.#live.values()) yield * session.grantsInUse()
  }

  /** The store no longer has a session. */
  forget (sessionId: string): void {
    this.#forget(sessionId)
    runInBackground(this.eventLog.deleteSession(sessionId), this.log, 'what a session sent was not deleted', {
      sessionId
    })
  }

  movedAway (sessionId: string): void {
    this.#options.createServer.sessionEnded?.(sessionId)
  }

  end (sessionId: string): void {
    this.#forget(sessionId)
    runInBackground(this.delete(sessionId), this.log, 'a session could not be ended everywhere', { sessionId })
  }

  /**
   * Ends a session for its client.
   * @throws {TemporarilyUnavailableError} (rejects) if the store cannot be reached: the session continues
   */
  async delete (sessionId: string): Promise<void> {
    await this.sessions.delete(sessionId)
    await this.eventLog.deleteSession(sessionId)
  }

  readonly createServer: SessionHost['createServer'] = session =>
    makeServer(this.#options.createServer, serverContext(this.#options, this.log, () => session, session.requests))

  /** Drops what is idle, ends what has expired. @param now milliseconds since the epoch */
  tidy (now: number): void {
    this.#housekeeping.tidy(now)
  }

  /** Releases streams and waits until no request runs, or `ms` have passed. */
  drain (ms: number): Promise<void> {
    return this.#housekeeping.drain(ms)
  }

  /** Ends the streams and instances of this process, and refuses requests; stored sessions continue elsewhere. */
  async close (): Promise<void> {
    this.#closing = true
    this.#housekeeping.stop()
    this.messenger.close()
    for (const unsubscribe of this.#unsubscribe) unsubscribe()
    this.#recheck.close()
    const sessions = [...this.#live.values()]
    for (const session of sessions) {
      session.instance?.failAll(jsonRpcCodes.serverError, 'The server is shutting down.')
    }
    await this.openStreams.endAll(this.streamOptions.retryMs)
    this.openStreams.close()
    await Promise.all(sessions.map(session => session.dispose()))
    // no other replica can continue them
    const over = sessions.filter(({ record }) => record.kind === 'sse').map(({ record }) => this.delete(record.id))
    await Promise.allSettled(over)
    this.#live.clear()
    this.instances.clear()
  }

  #begin (kind: SessionRecord['kind'], caller: CallerInfo): LiveSession {
    if (this.#closing) throw shuttingDown()
    const record = makeRecord(kind, caller, this)
    return new LiveSession(this, record, callerOfSession(caller, record.id))
  }

  async #add (session: LiveSession): Promise<void> {
    const { maxSessionsPerOwner: perOwner, maxSessionsPerPerson: perPerson } = this.limits
    const ended = await this.sessions.create(session.record, { perOwner, perPerson })
    this.#live.set(session.record.id, session)
    for (const id of ended) this.forget(id)
  }

  #forget (sessionId: string): void {
    const session = this.#live.get(sessionId)
    if (session === undefined) return
    this.#live.delete(sessionId)
    this.instances.release(session)
    runInBackground(session.dispose(), this.log, 'a session could not be closed', { sessionId })
  }

  #leave (session: LiveSession): void {
    session.tellSeen()
    session.leave()
    this.#live.delete(session.record.id)
  }
}
