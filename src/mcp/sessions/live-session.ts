import type { MessageExtraInfo, RequestId } from '@modelcontextprotocol/sdk/types.js'
import type { ServerEvent } from '@modelcontextprotocol/server'
import { personKey, type CallerInfo } from '../../caller.js'
import { InvalidEventIdError, SessionNotFoundError } from '../../errors.js'
import { STANDALONE_STREAM, parseStreamId, type EventLog } from '../../stores/event-log.js'
import { applyChange, type SessionChange, type SessionRecord, type SessionStore } from '../../stores/sessions.js'
import type { SubscriptionLease } from '../admission/subscription-lease.js'
import { toNotification } from '../server-events/announcements.js'
import type { PluggedServer } from '../create-server.js'
import { SseStream } from '../transport/sse-stream.js'
import type { ResponseStream } from '../transport/post-exchange.js'
import type { SessionLimits } from '../limits.js'
import { refusedOf } from '../server-events/may-subscribe.js'
import { EventLogWriter } from '../transport/event-log-writer.js'
import { ResumableResponse } from './resumable-response.js'
import type { OpenStreams, StreamPlace } from '../transport/open-streams.js'
import type { StreamOptions } from '../options.js'
import { takesPrimingEvents } from '../wire/protocol-versions.js'
import type { InstanceHost, InstanceSession } from './instance-session.js'
import { ServerInstance } from './server-instance.js'

/** What the sessions of a process share. */
export interface SessionHost extends InstanceHost {
  readonly sessions: SessionStore
  readonly eventLog: EventLog
  readonly limits: SessionLimits
  readonly streamOptions: StreamOptions
  readonly openStreams: OpenStreams
  createServer (session: LiveSession): PluggedServer | Promise<PluggedServer>
  /** Unique across replicas. */
  newStreamId (): string
  /**
   * Makes room for a session's instance.
   * @throws {TooManyRequestsError} where the person has too many @throws {ServerFullError} where all others are at work
   */
  reserve (session: LiveSession): void
  /** Takes the room back. */
  release (session: LiveSession): void
  /** Tells the other replicas of a change of a session's record. */
  changed (sessionId: string, change: SessionChange): void
  /** Ends a session everywhere. */
  end (sessionId: string): void
}

// a client's older GET streams, which it may believe alive, are kept open but silent
const MAX_STANDALONE_STREAMS = 4
// the store ends an owner's least recently seen session: it should know which that is
const MAX_UNTOLD_SECONDS = 60

/** A session that this process has to do with: its record, its open streams, and its server instance while it has one. */
export class LiveSession implements InstanceSession {
  readonly host: SessionHost
  readonly record: SessionRecord
  /** Whose session it is, whatever the client. */
  readonly person: string
  readonly streams = new Set<SseStream>()
  /** Whoever called last; always the session's owner. */
  caller: CallerInfo
  instance: ServerInstance | undefined
  /** Milliseconds since the epoch of the last request. */
  usedAt = Date.now()
  /** Milliseconds since the epoch of the last sign of life: a request, or an open stream. */
  seenAt = this.usedAt
  /** The session has ended. */
  ended = false
  #starting: Promise<ServerInstance> | undefined
  #standalone: EventLogWriter | undefined
  /** Epoch seconds of the last sign of life that the store has heard of. */
  #toldAt: number
  readonly #subscriptions: SubscriptionLease
  #hasLeft = false

  constructor (host: SessionHost, record: SessionRecord, caller: CallerInfo) {
    this.host = host
    this.record = record
    this.caller = caller
    this.#toldAt = record.lastSeenAt
    this.person = personKey(record.owner)
    this.#subscriptions = host.admission.subscriptionsOf(this.person).set(record.subscriptions)
  }

  /** Whether requests or tasks run, or the server waits for the client, or it has subscribers who listen. */
  get busy (): boolean {
    return this.#starting !== undefined || this.instance?.busy === true ||
      (this.record.subscriptions.length > 0 && this.streams.size > 0)
  }

  /** Makes the first server instance and hands it the client's `initialize`. @returns its result */
  async initialize (params: Record<string, unknown>, extra: MessageExtraInfo): Promise<Record<string, unknown>> {
    let result = {}
    await this.#start(async instance => { result = await instance.initialize(params, extra) })
    return result
  }

  /** The server instance; rebuilt from the record, for a request of `caller`, where it was dropped. */
  rebuild (extra: MessageExtraInfo, caller: CallerInfo): Promise<ServerInstance> {
    if (this.instance !== undefined) return Promise.resolve(this.instance)
    return this.#starting ?? this.#start(async instance => {
      await this.#dropRefused(caller)
      await instance.replay(this.record, extra)
    })
  }

  #start (prepare: (instance: ServerInstance) => Promise<void>): Promise<ServerInstance> {
    this.host.reserve(this)
    this.#starting = this.#startInstance(prepare).finally(() => { this.#starting = undefined })
    return this.#starting
  }

  async #startInstance (prepare: (instance: ServerInstance) => Promise<void>): Promise<ServerInstance> {
    const instance = new ServerInstance(this)
    try {
      await instance.connect(await this.host.createServer(this))
      await prepare(instance)
      if (this.ended) throw new SessionNotFoundError('Session not found: it has just ended. Initialize a new one.')
    } catch (error) {
      this.host.release(this)
      await instance.close()
      throw error
    }
    // not before it is where the session stands: what comes meanwhile waits for it
    this.instance = instance
    return instance
  }

  isServedBy (instance: object): boolean {
    return this.instance === instance
  }

  instanceClosed (instance: object): void {
    if (!this.isServedBy(instance)) return
    this.instance = undefined
    this.host.release(this)
  }

  /** Closes the server instance; the session goes on. */
  async dropInstance (): Promise<void> {
    const instance = this.instance
    this.instance = undefined
    await instance?.close()
  }

  /** Notes a request. */
  used (now: number): void {
    this.usedAt = now
    this.seen(now)
  }

  /** Notes a sign of life; the store hears of it only now and then. */
  seen (now: number): void {
    this.seenAt = now
    if (now / 1000 - this.#toldAt > Math.min(this.host.limits.idleSeconds / 10, MAX_UNTOLD_SECONDS)) this.tellSeen()
  }

  /** Tells the store of the last sign of life. */
  tellSeen (): void {
    const seenAt = Math.floor(this.seenAt / 1000)
    if (seenAt <= this.#toldAt) return
    this.#toldAt = seenAt
    this.#background(
      this.host.sessions.touch(this.record.id, seenAt).then(alive => {
        if (!alive) this.host.end(this.record.id)
      })
    )
  }

  /** Takes a change of the record that another replica has made. */
  changedElsewhere (change: SessionChange): void {
    this.#apply(change)
    this.#background(this.instance?.follow(change, { authInfo: this.caller }) ?? Promise.resolve())
  }

  /** Tells the client, if it listens, what another server has announced. @param person who alone may hear of it */
  hear (event: ServerEvent, person: string | undefined): void {
    if (person !== undefined && person !== this.person) return
    if (event.kind === 'resource_updated' && !this.record.subscriptions.includes(event.uri)) return
    if ([...this.streams].some(({ holder: { streamId } }) => streamId === STANDALONE_STREAM)) {
      this.say(JSON.stringify(toNotification(event)))
    }
  }

  /** What the client has subscribed to was allowed then; who may not now is unsubscribed, everywhere. */
  async #dropRefused (caller: CallerInfo): Promise<void> {
    const { maySubscribe } = this.host
    if (maySubscribe === undefined) return
    for (const unsubscribe of await refusedOf(this.record.subscriptions, caller, maySubscribe)) {
      this.change({ unsubscribe })
      this.#background(this.instance?.follow({ unsubscribe }, { authInfo: caller }) ?? Promise.resolve())
    }
  }

  /** Changes the record, here, in the store and on the other replicas. */
  change (change: SessionChange): void {
    this.#apply(change)
    this.#background(this.host.sessions.change(this.record.id, change))
    this.host.changed(this.record.id, change)
  }

  /**
   * Opens a stream for a GET: the standalone one, or the one that was cut after `lastEventId`.
   * @returns undefined where the stream is over, or so old that nothing of it is left
   * @throws {InvalidEventIdError} @throws {TooManyRequestsError} @throws {ServerFullError}
   */
  async listen (lastEventId: string | undefined, caller: CallerInfo): Promise<SseStream | undefined> {
    const streamId = lastEventId === undefined ? STANDALONE_STREAM : parseStreamId(lastEventId)
    if (streamId === undefined) throw new InvalidEventIdError('Bad Request: Last-Event-ID is none of this session.')
    await this.#dropRefused(caller)
    // those that give way make room in the process, too
    this.#makeRoomFor(streamId)
    const place = this.host.openStreams.reserve(this.person)
    this.caller = caller
    this.seen(Date.now())
    const stream = this.createStream(streamId, caller.extra.grantId, place)
    const following = await this.host.eventLog.follow(this.record.id, streamId, lastEventId, stream).catch(
      (error: unknown) => {
        stream.destroy()
        throw error
      }
    )
    if (following !== undefined) stream.reads(following)
    if (following === undefined || (stream.over && stream.readableLength === 0)) {
      stream.destroy()
      return undefined
    }
    if (takesPrimingEvents(this.record.protocolVersion)) {
      stream.prime(following.position, this.host.streamOptions.retryMs)
    } else stream.comment()
    return stream
  }

  /** Opens the one stream of an HTTP+SSE session; with its end the session ends. @param place that was taken for it */
  openOnlyStream (endpointUrl: string, place: StreamPlace): SseStream {
    const stream = this.createStream(STANDALONE_STREAM, this.caller.extra.grantId, place)
    stream.named('endpoint', endpointUrl)
    this.#background(this.host.eventLog.open(this.record.id, STANDALONE_STREAM, { resumable: false }))
    this.#background(this.host.eventLog.follow(this.record.id, STANDALONE_STREAM, undefined, stream).then(following => {
      if (following !== undefined) stream.reads(following)
    }, (error: unknown) => {
      stream.destroy()
      throw error
    }))
    return stream
  }

  /** A new SSE response body, held open by this session. @param place where the client asked for a stream */
  createStream (streamId: string, grantId: string | undefined, place?: StreamPlace): SseStream {
    const { maxBufferedBytes } = this.host.limits
    const onClosed = (closed: SseStream) => {
      place?.free()
      this.#closed(closed)
    }
    const stream = new SseStream({ streamId, grantId }, onClosed, {
      maxBufferedBytes,
      withIds: this.record.kind === 'streamable-http'
    })
    place?.holds(stream)
    this.streams.add(stream)
    this.host.openStreams.add(stream)
    return stream
  }

  get silenceMs (): number {
    return this.host.streamOptions.silenceMs
  }

  /** Opens the stream of an answer in the log, with a response body that reads it. */
  openAnswer (requestIds: readonly RequestId[], grantId: string | undefined, primed: boolean): ResponseStream {
    const streamId = this.host.newStreamId()
    const body = this.createStream(streamId, grantId)
    return new ResumableResponse({
      eventLog: this.host.eventLog,
      sessionId: this.record.id,
      streamId,
      requestIds,
      body,
      primingRetryMs: primed && takesPrimingEvents(this.record.protocolVersion)
        ? this.host.streamOptions.retryMs
        : undefined,
      log: this.host.log,
      release: () => { this.releaseStreams(streamId) }
    })
  }

  /** Sends what belongs to no request. */
  say (text: string): void {
    if (this.ended) return
    this.#standalone ??= new EventLogWriter({
      eventLog: this.host.eventLog,
      sessionId: this.record.id,
      streamId: STANDALONE_STREAM,
      log: this.host.log
    })
    this.#standalone.append(text)
  }

  /** Ends the responses that carry a stream (default: any stream); the streams themselves go on in the log. */
  releaseStreams (streamId?: string): void {
    for (const stream of this.streams) {
      if (streamId === undefined || stream.holder.streamId === streamId) stream.end(this.host.streamOptions.retryMs)
    }
  }

  /** Ends everything that this process has of the session. */
  async dispose (): Promise<void> {
    this.ended = true
    this.leave()
    this.#standalone?.close()
    for (const stream of this.streams) stream.end()
    await this.dropInstance()
  }

  /** This process has nothing more to do with the session, for now or for ever. */
  leave (): void {
    this.#hasLeft = true
    this.#subscriptions.release()
  }

  #apply (change: SessionChange): void {
    applyChange(this.record, change)
    if (!this.#hasLeft) this.#subscriptions.set(this.record.subscriptions)
  }

  #makeRoomFor (streamId: string): void {
    const older = [...this.streams].filter(({ holder }) => holder.streamId === streamId)
    const keep = streamId === STANDALONE_STREAM ? MAX_STANDALONE_STREAMS - 1 : 0
    for (const stream of older.slice(0, Math.max(0, older.length - keep))) stream.giveWay()
  }

  #closed (stream: SseStream): void {
    this.streams.delete(stream)
    this.host.openStreams.delete(stream)
    this.seen(Date.now())
    if (this.record.kind === 'sse' && !this.ended) this.host.end(this.record.id)
  }

  #background (work: Promise<unknown>): void {
    work.catch((err: unknown) => {
      this.host.log.error({ err, sessionId: this.record.id }, 'a session could not be written')
    })
  }
}
