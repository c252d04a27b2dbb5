import type { RequestId } from '@modelcontextprotocol/server'
import { STANDALONE_STREAM } from '../../stores/event-log.js'
import type { SessionRecord } from '../../stores/sessions.js'
import { EventLogWriter } from '../transport/event-log-writer.js'
import type { StreamPlace } from '../transport/open-streams.js'
import type { ResponseStream } from '../transport/post-exchange.js'
import { SseStream } from '../transport/sse-stream.js'
import { takesPrimingEvents } from '../wire/protocol-versions.js'
import { runInBackground } from './background.js'
import type { InstanceStreams } from './instance-session.js'
import { ResumableResponse } from './resumable-response.js'
import type { SessionHost } from './session-host.js'

// a client's older GET streams, which it may believe alive, are kept open but silent
const MAX_STANDALONE_STREAMS = 4

export interface SessionStreamsOptions {
  host: SessionHost
  record: SessionRecord
  person: string
  /** Called after a response is over. */
  onClosed: () => void
}

/** The SSE responses that a session has open in this process. They read the session's streams in the event log. */
export class SessionStreams implements InstanceStreams {
  readonly #host: SessionHost
  readonly #record: SessionRecord
  readonly #person: string
  readonly #onClosed: () => void
  readonly #open = new Set<SseStream>()
  #standalone: EventLogWriter | undefined
  #isClosed = false

  constructor ({ host, record, person, onClosed }: SessionStreamsOptions) {
    this.#host = host
    this.#record = record
    this.#person = person
    this.#onClosed = onClosed
  }

  get size (): number {
    return this.#open.size
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

  /** Opens the one stream of an HTTP+SSE session, in its place. */
  openOnlyStream (endpointUrl: string, grantId: string | undefined, place: StreamPlace): SseStream {
    const { eventLog } = this.#host
    const stream = this.#create(STANDALONE_STREAM, grantId, place)
    stream.named('endpoint', endpointUrl)
    this.#background(eventLog.open(this.#record.id, STANDALONE_STREAM, { resumable: false }))
    this.#background(eventLog.follow(this.#record.id, STANDALONE_STREAM, undefined, stream).then(following => {
      if (following !== undefined) stream.reads(following)
    }, (error: unknown) => {
      stream.destroy()
      throw error
    }))
    return stream
  }

  /** Opens a stream in the log for the responses to some requests, and the HTTP response that reads it. */
  openResponse (requestIds: readonly RequestId[], grantId: string | undefined, primed: boolean): ResponseStream {
    const { eventLog, log, replica, streamOptions } = this.#host
    const streamId = replica.newId()
    return new ResumableResponse({
      eventLog,
      sessionId: this.#record.id,
      streamId,
      requestIds,
      body: this.#create(streamId, grantId),
      primingRetryMs: primed && takesPrimingEvents(this.#record.protocolVersion) ? streamOptions.retryMs : undefined,
      log,
      release: () => { this.release(streamId) }
    })
  }

  /** Sends a message that belongs to no request. */
  say (text: string): void {
    if (this.#isClosed) return
    this.#standalone ??= new EventLogWriter({
      eventLog: this.#host.eventLog,
      sessionId: this.#record.id,
      streamId: STANDALONE_STREAM,
      log: this.#host.log
    })
    this.#standalone.append(text)
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
    this.#standalone?.close()
    for (const stream of this.#open) stream.end()
  }

  /** A new response body. @param place if the client asked for a stream */
  #create (streamId: string, grantId: string | undefined, place?: StreamPlace): SseStream {
    const { openStreams, limits: { maxBufferedBytes } } = this.#host
    const onClosed = (closed: SseStream) => {
      place?.free()
      this.#open.delete(closed)
      openStreams.delete(closed)
      this.#onClosed()
    }
    const stream = new SseStream({ streamId, grantId }, onClosed, {
      maxBufferedBytes,
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
    for (const stream of older.slice(0, Math.max(0, older.length - keep))) stream.giveWay()
  }

  #background (work: Promise<unknown>): void {
    runInBackground(work, this.#host.log, 'a stream of a session could not be opened', { sessionId: this.#record.id })
  }
}
