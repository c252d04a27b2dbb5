import type { RequestId } from '@modelcontextprotocol/server'
import { InvalidEventIdError } from '../../../errors.js'
import { findEventPlace, STANDALONE_STREAM } from '../../../stores/event-log.js'
import type { SessionRecord } from '../../../stores/sessions.js'
import { EventLogWriter } from '../../transport/event-log-writer.js'
import type { StreamPlace } from '../../transport/open-streams.js'
import { PacedQueue } from '../../transport/paced-queue.js'
import type { ResponseStream } from '../../transport/post-exchange.js'
import { SseStream } from '../../transport/sse-stream.js'
import type { PostedMessages } from '../../wire/messages.js'
import { takesPrimingEvents } from '../../wire/protocol-versions.js'
import type { InstanceStreams } from '../instance-session.js'
import { AwaitedResponses, SESSION_ENDED } from './awaited-responses.js'
import { FollowedResponse } from './followed-response.js'
import { settleIfOrphaned } from './orphaned-streams.js'
import { ResumableResponse } from './resumable-response.js'
import type { SessionHost } from '../session-host.js'

// a client's older GET streams, which it may believe alive, are kept open but silent
const MAX_STANDALONE_STREAMS = 4

export interface SessionStreamsOptions {
  host: SessionHost
  record: SessionRecord
  person: string
  /** Called after a response is over. */
  onClosed: () => void
}

/**
 * The stream that a GET asks for: the standalone one, or the one that was cut after `lastEventId`.
 * @throws {InvalidEventIdError}
 */
export function parseStreamId (lastEventId: string | undefined): string {
  const streamId = lastEventId === undefined ? STANDALONE_STREAM : findEventPlace(lastEventId)?.streamId
  if (streamId !== undefined) return streamId
  throw new InvalidEventIdError('Bad Request: Last-Event-ID is not an event id of this session.')
}

interface Said { data: string, isKept: boolean, onRefused: (() => void) | undefined }

/** The SSE responses that a session has open in this process. */
export class SessionStreams implements InstanceStreams {
  readonly #host: SessionHost
  readonly #record: SessionRecord
  readonly #person: string
  readonly #onClosed: () => void
  readonly #open = new Set<SseStream>()
  /** Streams of this process that are not yet in the log as a whole. */
  readonly #unwritten = new Map<string, ResumableResponse>()
  /** Responses to requests that run at other replicas. */
  readonly #followed = new Set<FollowedResponse>()
  readonly #awaited: AwaitedResponses
  #standalone: EventLogWriter | undefined
  /** Of an HTTP+SSE session. */
  #only: SseStream | undefined

  /** Messages that belong to no request, on their way to the standalone stream, or to the only one. */
  readonly #said = new PacedQueue<Said>({
    deliver: message => { this.#deliver(message) },
    room: () => this.#only?.room ?? this.#standalone?.room,
    count: ({ data }) => data.length
  })

  #isClosed = false

  constructor ({ host, record, person, onClosed }: SessionStreamsOptions) {
    this.#host = host
    this.#record = record
    this.#awaited = new AwaitedResponses(host, record.id)
    this.#person = person
    this.#onClosed = onClosed
  }

  get size (): number {
    return this.#open.size
  }

  /** Whether the client waits for what runs at other replicas. */
  get isFollowing (): boolean {
    return this.#followed.size > 0
  }

  /** Whether its client listens, for what belongs to no request. */
  get hasStandalone (): boolean {
    for (const { holder } of this.#open) if (holder.streamId === STANDALONE_STREAM) return true
    return false
  }

  get silenceMs (): number {
    return this.#host.streamOptions.silenceMs
  }

  [Symbol.iterator] (): IterableIterator<SseStream> {
    return this.#open.values()
  }

  /** Takes a place for a stream, after older responses that carry the same one have given way. */
  reserve (streamId: string): StreamPlace {
    this.#makeRoomFor(streamId)
    return this.#host.openStreams.reserve(this.#person)
  }

  /**
   * Opens a response that reads a stream, in its place, after `lastEventId`.
   * @returns undefined if the stream is over, or nothing of it is left
   */
  async follow (
    streamId: string,
    lastEventId: string | undefined,
    grantId: string | undefined,
    place: StreamPlace
  ): Promise<SseStream | undefined> {
    const stream = this.#create(streamId, grantId, place)
    const unwatch = settleIfOrphaned(this.#host, this.#record.id, streamId)
    if (unwatch !== undefined) {
      stream.once('close', unwatch)
      this.#awaited.note(stream, streamId)
    }
    // its first event id went out before the log had the stream
    await this.#unwritten.get(streamId)?.opened
    const following = await this.#host.eventLog.follow(this.#record.id, streamId, lastEventId, stream).catch(
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
    if (takesPrimingEvents(this.#record.protocolVersion)) {
      stream.prime(following.position, this.#host.streamOptions.retryMs)
    } else stream.comment()
    return stream
  }

  /** Opens the one stream of an HTTP+SSE session, in its place. Nobody can resume it: the log does not have it. */
  openOnlyStream (endpointUrl: string, grantId: string | undefined, place: StreamPlace): SseStream {
    this.#only = this.#create(STANDALONE_STREAM, grantId, place)
    this.#only.isFedBy(this.#said)
    this.#only.named('endpoint', endpointUrl)
    return this.#only
  }

  /** Opens a stream in the log for the responses to some requests, and the HTTP response that carries it. */
  openResponse (
    requestIds: readonly RequestId[],
    grantId: string | undefined,
    primed: boolean,
    streamId = this.#host.replica.newId()
  ): ResponseStream {
    const { eventLog, log, replica, limits: { maxBufferedBytes } } = this.#host
    const response = new ResumableResponse({
      eventLog,
      replica,
      sessionId: this.#record.id,
      streamId,
      requestIds,
      body: this.#create(streamId, grantId),
      primingRetryMs: primed ? this.#primingRetryMs : undefined,
      maxWaiting: maxBufferedBytes,
      log,
      release: () => { this.release(streamId) },
      onWritten: () => { this.#unwritten.delete(streamId) }
    })
    this.#unwritten.set(streamId, response)
    return response
  }

  /**
   * A response to requests of a POST that are handed to another replica, not opened yet.
   * @param replicaId of that one
   */
  followResponse (replicaId: string, { requests, isBatch }: PostedMessages, grantId: string | undefined) {
    const { replica, streamOptions: { silenceMs, retryMs }, limits: { maxBufferedBytes } } = this.#host
    const streamId = `${replicaId}-${replica.newId()}`
    const response = new FollowedResponse({
      host: this.#host,
      sessionId: this.#record.id,
      streamId,
      requestIds: requests.map(({ id }) => id),
      isBatch,
      silenceMs,
      retryMs,
      primingRetryMs: this.#primingRetryMs,
      maxWaiting: maxBufferedBytes,
      openBody: () => this.#create(streamId, grantId)
    })
    this.#followed.add(response)
    response.onOver(() => { this.#followed.delete(response) })
    return { streamId, response }
  }

  /**
   * Sends a message that belongs to no request.
   * @param onRefused called if a message that must not be dropped (`isKept`) has no room
   */
  say (data: string, isKept = false, onRefused?: () => void): void {
    if (this.#isClosed) return
    // its client does not read, and responses are not dropped: with the stream the session ends
    if (this.#only !== undefined && this.#unread > 2 * this.#host.limits.maxUnreadBytesPerStream) {
      this.#only.destroy()
    } else {
      this.#said.add({ data, isKept, onRefused })
    }
  }

  /** Resolves once there is room for more such messages; undefined if there is room now. */
  get room (): Promise<void> | undefined {
    return this.#said.room
  }

  /** Whether so much waits that those who do not wait have sent too much. */
  get isOverfull (): boolean {
    return this.#unread > this.#host.limits.maxUnreadBytesPerStream
  }

  /** When to resume, for clients that take it without a message. */
  get #primingRetryMs (): number | undefined {
    return takesPrimingEvents(this.#record.protocolVersion) ? this.#host.streamOptions.retryMs : undefined
  }

  get #unread (): number {
    return this.#said.characters + (this.#only?.readableLength ?? this.#standalone?.characters ?? 0)
  }

  #deliver ({ data, isKept, onRefused }: Said): void {
    if (this.#record.kind === 'sse') {
      this.#only?.message(data)
      return
    }
    this.#standalone ??= this.#openStandalone()
    this.#standalone.append({ data, isKept }, outcome => { if (outcome === 'full') onRefused?.() })
  }

  #openStandalone (): EventLogWriter {
    const { eventLog, log, replica, limits: { maxBufferedBytes } } = this.#host
    return new EventLogWriter({
      eventLog,
      sessionId: this.#record.id,
      streamId: STANDALONE_STREAM,
      maxWaiting: maxBufferedBytes,
      newName: () => replica.newId(),
      log
    })
  }

  /** Ends the responses that carry a stream (default: any stream); the streams themselves continue in the log. */
  release (streamId?: string): void {
    for (const stream of this.#open) {
      if (streamId === undefined || stream.holder.streamId === streamId) stream.end(this.#host.streamOptions.retryMs)
    }
  }

  /** Ends all responses; nothing more is sent. */
  close (): void {
    this.#isClosed = true
    this.#said.flush()
    this.#standalone?.close()
    for (const response of this.#unwritten.values()) response.finish()
    for (const response of this.#followed) response.fail(SESSION_ENDED)
    for (const stream of this.#open) {
      this.#awaited.fail(stream)
      stream.end()
    }
  }

  /** A new response body. @param place if the client asked for a stream */
  #create (streamId: string, grantId: string | undefined, place?: StreamPlace): SseStream {
    const { openStreams, streamOptions: { retryMs }, limits } = this.#host
    const onClosed = (closed: SseStream) => {
      place?.free()
      this.#open.delete(closed)
      openStreams.delete(closed)
      this.#onClosed()
    }
    const stream = new SseStream({ streamId, grantId }, onClosed, {
      maxBufferedBytes: limits.maxBufferedBytes,
      maxUnreadBytes: limits.maxUnreadBytesPerStream,
      retryMs,
      withIds: this.#record.kind === 'streamable-http'
    })
    place?.holds(stream)
    this.#open.add(stream)
    openStreams.add(stream)
    return stream
  }

  #makeRoomFor (streamId: string): void {
    const older = [...this.#open].filter(({ holder }) => holder.streamId === streamId)
    const keep = streamId === STANDALONE_STREAM ? MAX_STANDALONE_STREAMS - 1 : 0
    const over = Math.max(0, older.length - keep)
    for (const stream of older.slice(0, over)) stream.giveWay()
    for (const stream of older.slice(over)) stream.supersede()
  }
}
