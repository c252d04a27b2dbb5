import {
  EVENT_LOG_BOUNDS,
  EVENT_LOG_BYTES,
  STANDALONE_STREAM,
  findEventPlace,
  formatEventId,
  type EventLog,
  type EventReader,
  type Following,
  type MissingAnswer,
  type StreamEvent,
  type StreamOptions
} from '../event-log.js'

export interface MemoryEventLogOptions {
  /** Events kept of one stream. Default: 256. */
  maxEventsPerStream?: number
  /** Characters kept of one stream, besides its newest event. Default: 1 Mi. */
  maxBytesPerStream?: number
  /** Characters kept of one session; beyond, its oldest complete streams go first. Default: 8 Mi. */
  maxBytesPerSession?: number
  /** Streams kept of one session; beyond, the oldest complete ones go first. Default: 128. */
  maxStreamsPerSession?: number
  /**
   * Characters kept of all sessions, besides the newest event of each stream; beyond, the oldest complete streams go
   * first. Default: 256 Mi.
   */
  maxBytes?: number
  /** Time that a complete stream, or an event of the standalone stream, is kept. Default: 300. */
  retentionSeconds?: number
  /** Milliseconds since the epoch. Default: Date.now. */
  now?: () => number
}

interface LoggedEvent extends StreamEvent {
  readonly position: number
  readonly at: number
}

class Stream {
  events: LoggedEvent[] = []
  bytes = 0
  /** Position of the last event that a reader got. */
  delivered = 0
  completeAt: number | undefined
  resumable = true
  /** Requests that it has not answered. */
  readonly pending = new Set<string | number>()
  reader: EventReader | undefined

  constructor (readonly session: Session, readonly streamId: string) {}
}

class Session {
  readonly streams = new Map<string, Stream>()
  bytes = 0

  constructor (readonly id: string) {}
}

const SWEEP_MS = 30_000

/** The event log of a single process: a bounded buffer for each stream. */
export class MemoryEventLog implements EventLog {
  readonly #sessions = new Map<string, Session>()
  /** Complete streams, oldest first. */
  readonly #complete = new Set<Stream>()
  readonly #limits: Required<Omit<MemoryEventLogOptions, 'now'>>
  readonly #now: () => number
  readonly #sweep: NodeJS.Timeout
  #bytes = 0
  // one sequence for all streams, so that a stream forgotten and begun again never reuses a position
  #position = 0

  constructor ({ now = Date.now, ...limits }: MemoryEventLogOptions = {}) {
    this.#limits = {
      ...EVENT_LOG_BOUNDS,
      maxBytes: EVENT_LOG_BYTES,
      ...limits
    }
    this.#now = now
    this.#sweep = setInterval(() => { this.#dropOld() }, SWEEP_MS).unref()
  }

  /** Characters kept in all streams. */
  get bytes (): number {
    return this.#bytes
  }

  /** Stops the housekeeping. */
  close (): void {
    clearInterval(this.#sweep)
  }

  async open (sessionId: string, streamId: string, options: StreamOptions): Promise<void> {
    const stream = this.#stream(sessionId, streamId) ?? this.#create(sessionId, streamId)
    stream.resumable = options.resumable ?? true
    for (const id of options.requestIds ?? []) stream.pending.add(id)
  }

  async pendingRequests (sessionId: string, streamId: string): Promise<ReadonlyArray<string | number> | undefined> {
    const stream = this.#sessions.get(sessionId)?.streams.get(streamId)
    return stream === undefined || stream.completeAt !== undefined ? undefined : [...stream.pending]
  }

  async append (
    sessionId: string,
    streamId: string,
    data: string,
    final = false,
    answers?: string | number
  ): Promise<void> {
    const stream = this.#stream(sessionId, streamId)
    if (stream === undefined || stream.completeAt !== undefined) return
    if (answers !== undefined) stream.pending.delete(answers)
    this.#append(stream, data)
    if (final) this.#finish(stream)
  }

  async settle (sessionId: string, streamId: string, answers: readonly MissingAnswer[]): Promise<boolean> {
    const stream = this.#sessions.get(sessionId)?.streams.get(streamId)
    if (stream === undefined || stream.completeAt !== undefined) return false
    for (const { requestId, data } of answers) if (stream.pending.has(requestId)) this.#append(stream, data)
    this.#finish(stream)
    return true
  }

  async end (sessionId: string, streamId: string): Promise<void> {
    const stream = this.#stream(sessionId, streamId)
    if (stream !== undefined && stream.completeAt === undefined) this.#finish(stream)
  }

  async follow (
    sessionId: string,
    streamId: string,
    after: string | undefined,
    reader: EventReader
  ): Promise<Following | undefined> {
    const stream = this.#stream(sessionId, streamId)
    if (stream === undefined) return undefined
    this.#trimOld(stream)
    const from = after === undefined ? stream.delivered : Number(findEventPlace(after)?.position)
    for (const event of stream.events.filter(event => event.position > from)) {
      stream.delivered = Math.max(stream.delivered, event.position)
      reader.onEvent(event)
    }
    if (!stream.resumable) this.#trim(stream, 0)
    if (stream.completeAt === undefined) stream.reader = reader
    else reader.onEnd()
    return {
      position: after ?? formatEventId(streamId, stream.delivered),
      stop () { if (stream.reader === reader) stream.reader = undefined }
    }
  }

  async deleteSession (sessionId: string): Promise<void> {
    const session = this.#sessions.get(sessionId)
    this.#sessions.delete(sessionId)
    for (const stream of session?.streams.values() ?? []) this.#forget(stream)
  }

  #stream (sessionId: string, streamId: string): Stream | undefined {
    const stream = this.#sessions.get(sessionId)?.streams.get(streamId)
    if (stream === undefined) return streamId === STANDALONE_STREAM ? this.#create(sessionId, streamId) : undefined
    if (stream.completeAt === undefined || stream.completeAt > this.#oldest) return stream
    this.#drop(stream)
    return undefined
  }

  /** Milliseconds since the epoch before which what is over is forgotten. */
  get #oldest (): number {
    return this.#now() - this.#limits.retentionSeconds * 1000
  }

  /** The standalone stream is never complete: its events grow old one by one. */
  #trimOld (stream: Stream): void {
    if (stream.streamId !== STANDALONE_STREAM) return
    const oldest = this.#oldest
    this.#trim(stream, stream.events.filter(({ at }) => at > oldest).length)
  }

  #create (sessionId: string, streamId: string): Stream {
    const session = this.#sessions.get(sessionId) ?? new Session(sessionId)
    const { streams } = session
    if (streams.size >= this.#limits.maxStreamsPerSession) {
      this.#dropWhile(streams.values(), () =>
        streams.size >= this.#limits.maxStreamsPerSession)
    }
    const stream = new Stream(session, streamId)
    streams.set(streamId, stream)
    this.#sessions.set(sessionId, session)
    return stream
  }

  #append (stream: Stream, data: string): void {
    const { streamId } = stream
    const position = ++this.#position
    const event: LoggedEvent = { eventId: formatEventId(streamId, position), data, position, at: this.#now() }
    if (stream.resumable || stream.reader === undefined) this.#keep(stream, event)
    if (stream.reader !== undefined) {
      stream.delivered = position
      stream.reader.onEvent(event)
    }
  }

  #keep (stream: Stream, event: LoggedEvent): void {
    stream.events.push(event)
    this.#count(stream, event.data.length)
    const { session, events } = stream
    const { maxEventsPerStream, maxBytesPerStream, maxBytesPerSession, maxBytes } = this.#limits
    if (events.length > maxEventsPerStream) this.#trim(stream, maxEventsPerStream)
    const tooMuch = () => session.bytes > maxBytesPerSession
    if (tooMuch()) this.#dropWhile(session.streams.values(), tooMuch)
    if (this.#bytes > maxBytes) this.#dropWhile(this.#complete, () => this.#bytes > maxBytes)
    // what is complete is gone by now: the stream that grows pays for the rest
    while (events.length > 1 && (stream.bytes > maxBytesPerStream || tooMuch() || this.#bytes > maxBytes)) {
      this.#trim(stream, events.length - 1)
    }
  }

  /** Forgets all but the newest `count` events. */
  #trim (stream: Stream, count: number): void {
    for (const { data } of stream.events.splice(0, stream.events.length - count)) this.#count(stream, -data.length)
  }

  #count (stream: Stream, bytes: number): void {
    stream.bytes += bytes
    stream.session.bytes += bytes
    this.#bytes += bytes
  }

  #finish (stream: Stream): void {
    stream.completeAt = this.#now()
    const reader = stream.reader
    stream.reader = undefined
    if (stream.resumable) this.#complete.add(stream)
    else this.#drop(stream)
    reader?.onEnd()
  }

  #drop (stream: Stream): void {
    const { streams, id } = stream.session
    streams.delete(stream.streamId)
    if (streams.size === 0) this.#sessions.delete(id)
    this.#forget(stream)
  }

  #forget (stream: Stream): void {
    this.#trim(stream, 0)
    this.#complete.delete(stream)
    stream.completeAt ??= this.#now()
    const reader = stream.reader
    stream.reader = undefined
    reader?.onEnd()
  }

  /** Drops complete streams, the first ones first, as long as `needed`. */
  #dropWhile (streams: Iterable<Stream>, needed: () => boolean): void {
    for (const stream of streams) {
      if (!needed()) return
      if (stream.completeAt !== undefined) this.#drop(stream)
    }
  }

  #dropOld (): void {
    const oldest = this.#oldest
    for (const stream of this.#complete) {
      if ((stream.completeAt ?? 0) > oldest) break
      this.#drop(stream)
    }
    for (const { streams } of this.#sessions.values()) {
      const stream = streams.get(STANDALONE_STREAM)
      if (stream === undefined) continue
      this.#trimOld(stream)
      if (stream.events.length === 0 && stream.reader === undefined && stream.resumable) this.#drop(stream)
    }
  }
}
