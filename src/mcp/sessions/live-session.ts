import type { JSONRPCMessage, JSONRPCRequest, ServerEvent } from '@modelcontextprotocol/server'
import { personKey, type CallerInfo } from '../../caller.js'
import { SessionNotFoundError } from '../../errors.js'
import type { SessionNotification } from '../../stores/bus.js'
import type { SessionChange, SessionRecord } from '../../stores/sessions.js'
import type { SubscriptionLease } from '../admission/subscription-lease.js'
import { describeRequest, observeResult } from '../observed-requests.js'
import { toNotification } from '../server-events/announcements.js'
import { findRefused } from '../server-events/may-subscribe.js'
import { WatchedAccess } from '../access/watched-access.js'
import type { StreamPlace } from '../transport/open-streams.js'
import type { SseStream } from '../transport/sse-stream.js'
import { jsonRpcCodes } from '../../json-rpc-codes.js'
import { runInBackground } from './background.js'
import type { InstanceSession } from './instance-session.js'
import type { InstanceOwner } from './live-instances.js'
import { RecordKeeper } from './records/record-keeper.js'
import { SignsOfLife } from './records/signs-of-life.js'
import { ServerInstance } from './server-instance.js'
import type { SessionHost } from './session-host.js'
import type { ReachableSession } from './session-messenger.js'
import { ServedRequests } from '../transport/served-requests.js'
import { ORPHANED } from './streams/orphaned-streams.js'
import { parseStreamId, SessionStreams } from './streams/session-streams.js'
import type { MessageExtra } from '../transport/message-extra.js'

/** A session that this process serves: its record, its open streams, and its server instance while it has one. */
export class LiveSession implements InstanceSession, InstanceOwner, ReachableSession {
  readonly host: SessionHost
  readonly record: SessionRecord
  readonly person: string
  readonly streams: SessionStreams
  readonly access: WatchedAccess | undefined
  /** Who called last; always the session's owner. */
  caller: CallerInfo
  readonly requests: ServedRequests
  instance: ServerInstance | undefined
  /** Milliseconds since the epoch of the last request. */
  usedAt = Date.now()
  #ended = false
  #starting: Promise<ServerInstance> | undefined
  readonly life: SignsOfLife
  readonly #subscriptions: SubscriptionLease
  readonly #keeper: RecordKeeper
  #hasLeft = false

  constructor (host: SessionHost, record: SessionRecord, caller: CallerInfo) {
    this.host = host
    this.record = record
    this.caller = caller
    this.requests = new ServedRequests(caller)
    this.life = new SignsOfLife(record.lastSeenAt, host.limits.idleSeconds, async seenAt => {
      if (!await host.sessions.touch(record.id, seenAt)) host.forget(record.id)
    })
    this.person = personKey(record.owner)
    this.streams = new SessionStreams({ host, record, person: this.person, onClosed: () => { this.#streamClosed() } })
    this.access = host.guard && new WatchedAccess(host.guard, this)
    this.#keeper = new RecordKeeper({
      sessions: host.sessions,
      record,
      origin: host.replica.id,
      onChanged: () => { this.#changed() },
      onGone: () => { host.forget(record.id) }
    })
    this.#subscriptions = host.admission.makeSubscriptionLease(this.person).set(record.subscriptions)
  }

  /** Whether its client waits for something or listens: then no idle time passes. */
  get isInUse (): boolean {
    return this.streams.size > 0 || this.streams.isFollowing || this.instance?.running === true
  }

  /** Whether it must not run here: another replica has it, or none. */
  get isElsewhere (): boolean {
    return this.host.keepsSessions && this.record.replicaId !== this.host.replica.id
  }

  /** The grants under which it is used here. */
  * grantsInUse (): Iterable<string | undefined> {
    yield this.caller.extra.grantId
    for (const { holder } of this.streams) yield holder.grantId
    if (this.instance !== undefined) yield * this.instance.grantsInUse()
  }

  /** Whether requests or tasks run, the server waits for the client, or a subscribed client listens. */
  get busy (): boolean {
    return this.#starting !== undefined || this.instance?.busy === true ||
      (this.record.subscriptions.length > 0 && this.streams.size > 0)
  }

  get hasInstance (): boolean {
    return this.instance !== undefined
  }

  /** Makes the first server instance and hands it the client's `initialize`. @returns its result */
  async initialize (
    request: JSONRPCRequest,
    params: Record<string, unknown>,
    extra: MessageExtra
  ): Promise<Record<string, unknown>> {
    this.requests.came({ caller: this.caller, requestId: extra.http?.id })
    return await observeResult(this.host.observer, describeRequest(request, extra, this.record.id), async () => {
      let result = {}
      await this.#start(async instance => { result = await instance.initialize(params, extra) })
      return result
    })
  }

  /** The server instance; rebuilt from the record, for a request of `caller`, if it was dropped. */
  rebuild (extra: MessageExtra, caller: CallerInfo): Promise<ServerInstance> {
    this.requests.came({ caller, requestId: extra.http?.id })
    if (this.instance !== undefined) return Promise.resolve(this.instance)
    return this.#starting ?? this.#start(async instance => {
      await this.#dropRefused(caller)
      await instance.catchUp.replay(this.record, extra)
    })
  }

  #start (prepare: (instance: ServerInstance) => Promise<void>): Promise<ServerInstance> {
    this.host.instances.reserve(this)
    this.#starting = this.#startInstance(prepare).finally(() => { this.#starting = undefined })
    return this.#starting
  }

  async #startInstance (prepare: (instance: ServerInstance) => Promise<void>): Promise<ServerInstance> {
    const instance = new ServerInstance(this)
    try {
      await instance.connect(await this.host.createServer(this))
      await prepare(instance)
      if (this.#ended) throw new SessionNotFoundError('Session not found: it has just ended. Initialize a new one.')
    } catch (error) {
      this.host.instances.release(this)
      await instance.close()
      if (error instanceof SessionNotFoundError) this.host.end(this.record.id)
      throw error
    }
    // only now: requests that arrive before the instance has caught up with the session wait for it
    this.instance = instance
    this.#follow()
    return instance
  }

  isServedBy (instance: object): boolean {
    return this.instance === instance
  }

  instanceClosed (instance: object): void {
    if (!this.isServedBy(instance)) return
    this.instance = undefined
    this.host.instances.release(this)
  }

  dropInstance (): void {
    this.tellSeen()
    this.#background(this.#closeInstance())
  }

  async #closeInstance (): Promise<void> {
    const instance = this.instance
    this.instance = undefined
    await instance?.close()
  }

  /** Notes a request, which uses the session's instance. */
  used (): void {
    this.usedAt = Date.now()
    this.seen(this.usedAt)
    this.host.instances.used(this)
  }

  /** Notes a sign of life; the store is told only now and then. */
  seen (now: number): void {
    const telling = this.life.note(now)
    if (telling !== undefined) this.#background(telling)
  }

  /** Writes the last sign of life to the store. */
  tellSeen (): void {
    this.#background(this.life.tell())
  }

  receiveForwarded (message: JSONRPCMessage): void {
    this.instance?.receiveForwarded(message, { authInfo: this.caller })
  }

  receiveNotified (notification: SessionNotification): void {
    this.instance?.receiveNotified(notification, { authInfo: this.caller })
  }

  changedElsewhere (version: number): void {
    this.#background(this.#keeper.hasVersion(version))
  }

  /**
   * Asks the store how the session stands: it may have changed, or be over.
   * Rejects if the store cannot be reached.
   */
  async recheck (): Promise<void> {
    await this.#keeper.reread()
    this.life.seenAt = Math.max(this.life.seenAt, this.record.lastSeenAt * 1000)
  }

  /** Writes or reads what could not be when it was due. */
  catchUp (): void {
    if (this.#keeper.isBehind) this.#background(this.#keeper.catchUp())
  }

  notify (event: ServerEvent, person: string | undefined): void {
    if (person !== undefined && person !== this.person) return
    const uri = event.kind === 'resource_updated' ? event.uri : undefined
    if (uri !== undefined && (!this.record.subscriptions.includes(uri) || this.access?.hides(uri) === true)) return
    if (this.streams.hasStandalone) this.streams.say(JSON.stringify(toNotification(event)))
  }

  calledBy (caller: CallerInfo): void {
    this.caller = caller
    this.access?.called()
  }

  /** Ends the subscriptions, everywhere, that were allowed when they were made and are not now. */
  async #dropRefused (caller: CallerInfo): Promise<void> {
    const maySubscribe = this.access?.restrict(this.host.maySubscribe) ?? this.host.maySubscribe
    if (maySubscribe === undefined) return
    for (const unsubscribe of await findRefused(this.record.subscriptions, caller, maySubscribe)) {
      this.change({ unsubscribe })
      this.#follow(caller)
    }
  }

  /** Changes the record, here, in the store and on the other replicas. */
  change (change: SessionChange): void {
    this.#background(this.#keeper.change(change))
    this.#countSubscriptions()
  }

  /**
   * Opens a stream for a GET: the standalone one, or the one that was cut after `lastEventId`.
   * @returns undefined if the stream is over, or so old that nothing of it is left
   * @throws {InvalidEventIdError} @throws {TooManyRequestsError} @throws {ServerFullError}
   */
  async listen (lastEventId: string | undefined, caller: CallerInfo): Promise<SseStream | undefined> {
    const streamId = parseStreamId(lastEventId)
    await this.#dropRefused(caller)
    const place = this.streams.reserve(streamId)
    this.calledBy(caller)
    this.seen(Date.now())
    return await this.streams.follow(streamId, lastEventId, caller.extra.grantId, place)
  }

  /** Opens the one stream of an HTTP+SSE session; with its end the session ends. @param place that was taken for it */
  openOnlyStream (endpointUrl: string, place: StreamPlace): SseStream {
    return this.streams.openOnlyStream(endpointUrl, this.caller.extra.grantId, place)
  }

  /** Ends everything that this process has of the session. */
  async dispose (): Promise<void> {
    this.#ended = true
    this.leave()
    this.streams.close()
    await this.#closeInstance()
  }

  /** Gives back what the session holds of its person's quotas: this process no longer serves it. */
  leave (): void {
    this.#hasLeft = true
    this.#subscriptions.release()
    this.access?.close()
  }

  #changed (): void {
    this.#countSubscriptions()
    if (this.isElsewhere && this.instance !== undefined) this.#movedAway(this.instance)
    else this.#follow()
  }

  /** Others have taken this process for dead: what they have responded for it stands. */
  #movedAway (instance: ServerInstance): void {
    this.host.instances.release(this)
    instance.failAll(jsonRpcCodes.serverError, ORPHANED)
    this.#background(this.#closeInstance())
    this.host.movedAway(this.record.id)
  }

  #countSubscriptions (): void {
    if (!this.#hasLeft) this.#subscriptions.set(this.record.subscriptions)
  }

  #follow (caller = this.caller): void {
    if (this.instance !== undefined) this.#background(this.instance.catchUp.follow(this.record, { authInfo: caller }))
  }

  #streamClosed (): void {
    this.seen(Date.now())
    if (this.record.kind === 'sse' && !this.#ended) this.host.end(this.record.id)
  }

  #background (work: Promise<unknown>): void {
    runInBackground(work, this.host.log, 'background work of a session failed', { sessionId: this.record.id })
  }
}
