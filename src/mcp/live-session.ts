import type { MessageExtraInfo, RequestId } from '@modelcontextprotocol/sdk/types.js'
import type { CallerInfo } from '../auth-info.js'
import { InvalidEventIdError, TooManyStreamsError } from '../errors.js'
import { STANDALONE_STREAM, startOf, streamIdOf, type EventLog } from '../stores/event-log.js'
import { applyChange, type SessionChange, type SessionRecord, type SessionStore } from '../stores/sessions.js'
import type { Log, PluggedServer } from './create-server.js'
import { EventStream } from './event-stream.js'
import type { AnswerStream, AnswerStreams } from './exchange.js'
import type { SessionLimits } from './limits.js'
import type { OpenStreams } from './open-streams.js'
import type { StreamOptions } from './options.js'
import { takesPrimingEvents } from './protocol-versions.js'
import { ServerInstance } from './server-instance.js'

/** What the sessions of a process share. */
export interface SessionHost {
  readonly sessions: SessionStore
  readonly eventLog: EventLog
  readonly limits: SessionLimits
  readonly streamOptions: StreamOptions
  readonly openStreams: OpenStreams
  readonly log: Log
  createServer (session: LiveSession): PluggedServer | Promise<PluggedServer>
  /** Unique across replicas. */
  newStreamId (): string
  /** Unique across replicas. */
  newInstanceTag (): string
  /** Notes that a session's instance is in use. */
  used (session: LiveSession): void
  /** Ends a session everywhere. */
  end (sessionId: string): Promise<void>
}

// a client's older GET streams, which it may believe alive, are kept open but silent
const MAX_STANDALONE_STREAMS = 4

/** A session that this process has to do with: its record, its open streams, and its server instance while it has one. */
export class LiveSession implements AnswerStreams {
  readonly host: SessionHost
  readonly record: SessionRecord
  readonly streams = new Set<EventStream>()
  /** Whoever called last; always the session's owner. */
  caller: CallerInfo
  instance: ServerInstance | undefined
  /** Milliseconds since the epoch of the last request. */
  usedAt = Date.now()
  /** The session has ended. */
  ended = false
  #starting: Promise<ServerInstance> | undefined
  /** Epoch seconds that the store last heard of. */
  #seenAt: number

  constructor (host: SessionHost, record: SessionRecord, caller: CallerInfo) {
    this.host = host
    this.record = record
    this.caller = caller
    this.#seenAt = record.lastSeenAt
  }

  /** Whether requests run, or the server waits for the client, or it has subscribers who listen. */
  get busy (): boolean {
    return this.#starting !== undefined || this.instance?.busy === true ||
      (this.record.subscriptions.length > 0 && this.streams.size > 0)
  }

  /** The server instance; rebuilt from the record where it was dropped. */
  rebuild (extra: MessageExtraInfo): Promise<ServerInstance> {
    if (this.instance !== undefined) return Promise.resolve(this.instance)
    this.#starting ??= this.#rebuild(extra).finally(() => { this.#starting = undefined })
    return this.#starting
  }

  /** Makes and connects a server instance that has not seen a message. */
  async connect (): Promise<ServerInstance> {
    const instance = new ServerInstance(this)
    await instance.connect(await this.host.createServer(this))
    if (this.ended) await instance.close()
    else this.instance = instance
    return instance
  }

  async #rebuild (extra: MessageExtraInfo): Promise<ServerInstance> {
    const instance = await this.connect()
    try {
      await instance.replay(this.record, extra)
    } catch (error) {
      await this.dropInstance()
      throw error
    }
    this.host.used(this)
    return instance
  }

  /** Closes the server instance; the session goes on. */
  async dropInstance (): Promise<void> {
    const instance = this.instance
    this.instance = undefined
    await instance?.close()
  }

  /** Notes a sign of life; the store hears of it only now and then. */
  seen (now: number): void {
    this.usedAt = now
    if (now / 1000 - this.#seenAt > this.host.limits.idleSeconds / 10) this.tellSeen()
  }

  /** Tells the store of the last sign of life. */
  tellSeen (): void {
    const seenAt = Math.floor(this.usedAt / 1000)
    if (seenAt <= this.#seenAt) return
    this.#seenAt = seenAt
    this.#background(this.host.sessions.touch(this.record.id, seenAt).then(alive => { if (!alive) void this.host.end(this.record.id) }))
  }

  /** Changes the record, here and in the store. */
  change (change: SessionChange): void {
    applyChange(this.record, change)
    this.#background(this.host.sessions.change(this.record.id, change))
  }

  /**
   * Opens a stream for a GET: the standalone one, or the one that was cut after `lastEventId`.
   * @returns undefined where the stream is over, or so old that nothing of it is left
   * @throws {InvalidEventIdError} @throws {TooManyStreamsError}
   */
  async listen (lastEventId: string | undefined, caller: CallerInfo): Promise<EventStream | undefined> {
    const streamId = lastEventId === undefined ? STANDALONE_STREAM : streamIdOf(lastEventId)
    if (streamId === undefined) throw new InvalidEventIdError('Bad Request: Last-Event-ID is none of this session.')
    if (this.host.openStreams.full) throw new TooManyStreamsError('This server holds as many streams as it can now.', { retryAfterSeconds: 5 })
    this.caller = caller
    this.#makeRoomFor(streamId)
    const stream = this.createStream(streamId, caller.extra.grantId)
    const following = await this.host.eventLog.follow(this.record.id, streamId, lastEventId, stream).catch((error: unknown) => {
      stream.destroy()
      throw error
    })
    if (following === undefined || (stream.over && stream.readableLength === 0)) {
      stream.destroy()
      return undefined
    }
    stream.reads(following)
    if (takesPrimingEvents(this.record.protocolVersion)) stream.prime(following.position, this.host.streamOptions.retryMs)
    else stream.comment()
    return stream
  }

  /** Opens the one stream of an HTTP+SSE session; with its end the session ends. */
  openOnlyStream (endpointUrl: string): EventStream {
    if (this.host.openStreams.full) throw new TooManyStreamsError('This server holds as many streams as it can now.', { retryAfterSeconds: 5 })
    const stream = this.createStream(STANDALONE_STREAM, this.caller.extra.grantId)
    stream.named('endpoint', endpointUrl)
    this.#background(this.host.eventLog.open(this.record.id, STANDALONE_STREAM, { resumable: false }))
    this.#follow(STANDALONE_STREAM, undefined, stream)
    return stream
  }

  /** A new SSE response body, held open by this session. */
  createStream (streamId: string, grantId: string | undefined): EventStream {
    const { maxBufferedBytes } = this.host.limits
    const stream = new EventStream({ streamId, grantId }, closed => { this.#closed(closed) },
      { maxBufferedBytes, withIds: this.record.kind === 'streamable-http' })
    this.streams.add(stream)
    this.host.openStreams.add(stream)
    return stream
  }

  get silenceMs (): number {
    return this.host.streamOptions.silenceMs
  }

  /** Opens the stream of an answer in the log, with a response body that reads it. */
  openAnswer (requestIds: readonly RequestId[], grantId: string | undefined, primed: boolean): AnswerStream {
    const streamId = this.host.newStreamId()
    const body = this.createStream(streamId, grantId)
    if (primed && takesPrimingEvents(this.record.protocolVersion)) body.prime(startOf(streamId), this.host.streamOptions.retryMs)
    else body.comment()
    this.#background(this.host.eventLog.open(this.record.id, streamId, { requestIds }))
    this.#follow(streamId, startOf(streamId), body)
    return {
      body,
      append: (text, final) => { this.append(streamId, text, final) },
      end: () => { this.#background(this.host.eventLog.end(this.record.id, streamId)) },
      release: () => { this.releaseStreams(streamId) }
    }
  }

  append (streamId: string, text: string, final = false): void {
    if (!this.ended) this.#background(this.host.eventLog.append(this.record.id, streamId, text, final))
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
    for (const stream of this.streams) stream.end()
    await this.dropInstance()
  }

  #makeRoomFor (streamId: string): void {
    const older = [...this.streams].filter(({ holder }) => holder.streamId === streamId)
    const keep = streamId === STANDALONE_STREAM ? MAX_STANDALONE_STREAMS - 1 : 0
    for (const stream of older.slice(0, Math.max(0, older.length - keep))) stream.end()
  }

  #follow (streamId: string, after: string | undefined, stream: EventStream): void {
    this.#background(this.host.eventLog.follow(this.record.id, streamId, after, stream).then(following => {
      if (following !== undefined) stream.reads(following)
    }))
  }

  #closed (stream: EventStream): void {
    this.streams.delete(stream)
    this.host.openStreams.delete(stream)
    this.seen(Date.now())
    if (this.record.kind === 'sse' && !this.ended) void this.host.end(this.record.id)
  }

  #background (work: Promise<unknown>): void {
    work.catch((err: unknown) => { this.host.log.error({ err, sessionId: this.record.id }, 'a session could not be written') })
  }
}
