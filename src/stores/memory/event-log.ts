import {
  EVENT_LOG_BOUNDS,
  EVENT_LOG_BYTES,
  MAX_KEPT_CHARACTERS,
  STANDALONE_STREAM,
  findEventPlace,
  formatEventId,
  type AppendOptions,
  type Appended,
  type EventLog,
  type EventReader,
  type Following,
  type MissingAnswer,
  type NewEvent,
  type StreamOptions
} from '../event-log.js'
import { anonymousShare, isAnonymousId } from '../../caller.js'
import { inSlices } from '../../collections/in-slices.js'
import { LoggedSession, LoggedShare, SessionStream } from './event-log/complete-streams.js'

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
  /** Milliseconds of a clock that is never set. Default: that of the process. */
  now?: () => number
}

const SWEEP_MS = 30_000

/** The event log of a single process: a bounded buffer for each stream. */
export class MemoryEventLog implements EventLog {
  readonly #sessions = new Map<string, LoggedSession>()
  readonly #ofPeople: LoggedShare
  readonly #ofAnonymous: LoggedShare
  readonly #limits: Required<Omit<MemoryEventLogOptions, 'now'>>
  readonly #now: () => number
  readonly #sweep: NodeJS.Timeout
  #isSweeping = false
  // one sequence for all streams, so that a stream forgotten and begun again never reuses a position
  #position = 0

  constructor ({ now = () => performance.now(), ...limits }: MemoryEventLogOptions = {}) {
    this.#limits = {
      ...EVENT_LOG_BOUNDS,
      maxBytes: EVENT_LOG_BYTES,
      ...limits
    }
    const { maxBytes } = this.#limits
    this.#ofPeople = new LoggedShare(maxBytes)
    this.#ofAnonymous = new LoggedShare(anonymousShare(maxBytes))
    this.#now = now
    this.#sweep = setInterval(() => { this.#dropOld().catch(() => {}) }, SWEEP_MS).unref()
  }

  /** Characters kept in all streams. */
  get bytes (): number {
    return this.#ofPeople.characters + this.#ofAnonymous.characters
  }

  /** Stops the housekeeping. */
  close (): void {
    clearInterval(this.#sweep)
  }

  async open (sessionId: string, streamId: string, { requestIds = [] }: StreamOptions): Promise<void> {
    const stream = this.#stream(sessionId, streamId) ?? this.#create(sessionId, streamId)
    for (const id of requestIds) stream.pending.add(id)
  }

  async pendingRequests (sessionId: string, streamId: string): Promise<ReadonlyArray<string | number> | undefined> {
    const stream = this.#sessions.get(sessionId)?.streams.get(streamId)
    return stream === undefined || stream.completeAt !== undefined ? undefined : [...stream.pending]
  }

  async append (
    sessionId: string,
    streamId: string,
    events: readonly NewEvent[],
    options: AppendOptions = {}
  ): Promise<Appended> {
    const stream = this.#stream(sessionId, streamId)
    if (stream === undefined || stream.completeAt !== undefined) return { taken: 0, refusal: 'over' }
    if (options.name !== undefined && !stream.isNew(options.name)) return { taken: events.length }
    let taken = 0
    for (const event of events) {
      if (!this.#append(stream, event, options)) break
      taken++
    }
    stream.pump()
    this.#trim(stream)
    const { unread } = stream
    return {
      taken,
      ...taken < events.length && { refusal: 'full' },
      ...unread !== undefined && { unread }
    }
  }

  async unread (sessionId: string, streamId: string): Promise<number | undefined> {
    return this.#sessions.get(sessionId)?.streams.get(streamId)?.unread
  }

  async settle (sessionId: string, streamId: string, answers: readonly MissingAnswer[]): Promise<boolean> {
    const stream = this.#sessions.get(sessionId)?.streams.get(streamId)
    if (stream === undefined || stream.completeAt !== undefined) return false
    for (const { requestId, data } of answers) {
      if (stream.pending.has(requestId)) this.#add(stream, { data, isKept: true }, false)
    }
    this.#finish(stream)
    return true
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
    stream.read(reader, after === undefined ? undefined : Number(findEventPlace(after)?.position))
    stream.session.share.complete.update(stream)
    return {
      position: after ?? formatEventId(streamId, stream.lastRead),
      resume: () => {
        stream.resume(reader)
        stream.session.share.complete.update(stream)
      },
      stop: () => {
        stream.stop(reader)
        stream.session.share.complete.update(stream)
        this.#trim(stream)
      }
    }
  }

  watch (sessionId: string, streamId: string, onFollowed: () => void): () => void {
    const stream = this.#sessions.get(sessionId)?.streams.get(streamId)
    stream?.watchers.add(onFollowed)
    process.nextTick(() => { if (stream?.hasReader === true && stream.watchers.has(onFollowed)) onFollowed() })
    return () => { stream?.watchers.delete(onFollowed) }
  }

  async deleteSession (sessionId: string): Promise<void> {
    const session = this.#sessions.get(sessionId)
    this.#sessions.delete(sessionId)
    for (const stream of session?.streams.values() ?? []) this.#forget(stream)
  }

  #stream (sessionId: string, streamId: string): SessionStream | undefined {
    const stream = this.#sessions.get(sessionId)?.streams.get(streamId)
    if (stream === undefined) return streamId === STANDALONE_STREAM ? this.#create(sessionId, streamId) : undefined
    if (stream.completeAt === undefined || stream.completeAt > this.#oldest || stream.hasReader) return stream
    this.#drop(stream)
    return undefined
  }

  /** Milliseconds since the epoch before which what is over is forgotten. */
  get #oldest (): number {
    return this.#now() - this.#limits.retentionSeconds * 1000
  }

  /** The standalone stream is never complete: its events grow old one by one. */
  #trimOld (stream: SessionStream): void {
    if (stream.streamId === STANDALONE_STREAM) this.#count(stream, -stream.dropOld(this.#oldest))
  }

  #create (sessionId: string, streamId: string): SessionStream {
    const session = this.#sessions.get(sessionId) ??
      new LoggedSession(sessionId, isAnonymousId(sessionId) ? this.#ofAnonymous : this.#ofPeople)
    const { streams } = session
    if (streams.size >= this.#limits.maxStreamsPerSession) {
      this.#dropWhile([...streams.values()], () =>
        streams.size >= this.#limits.maxStreamsPerSession)
    }
    const stream = new SessionStream(session, streamId)
    streams.set(streamId, stream)
    this.#sessions.set(sessionId, session)
    return stream
  }

  /** @returns false if what must be kept has no room */
  #append (stream: SessionStream, event: NewEvent, { isSent = false }: AppendOptions): boolean {
    const { position, answers } = event
    // an append that is repeated
    if (position !== undefined && position <= stream.last) return true
    if (!this.#makeRoomForKept(stream, event)) return false
    if (answers !== undefined) stream.pending.delete(answers)
    if (event.data !== undefined) this.#add(stream, event, isSent)
    if (event.isFinal === true) this.#finish(stream)
    return true
  }

  /** Room for a request to the client; a response always has room. */
  #makeRoomForKept (stream: SessionStream, { data = '', isKept, isFinal, answers }: NewEvent): boolean {
    if (isKept !== true || isFinal === true || answers !== undefined) return true
    const characters = data.length
    while (stream.keptCharacters + characters > MAX_KEPT_CHARACTERS) {
      const dropped = stream.dropOldestKept()
      if (dropped === undefined) return false
      this.#count(stream, -dropped)
    }
    return true
  }

  #add (stream: SessionStream, event: NewEvent, isSent: boolean): void {
    if (event.position === undefined) this.#position = Math.max(this.#position, stream.last) + 1
    stream.add(event, event.position ?? this.#position, this.#now(), isSent)
    this.#count(stream, event.data?.length ?? 0)
  }

  /** Drops what is beyond the bounds. */
  #trim (stream: SessionStream): void {
    const { session, session: { share } } = stream
    const { maxEventsPerStream, maxBytesPerStream, maxBytesPerSession, maxBytes } = this.#limits
    const tooMuch = () => session.characters > maxBytesPerSession
    if (tooMuch()) this.#dropWhile([...session.streams.values()], tooMuch)
    const isFull = () => share.characters > share.maxCharacters || this.bytes > maxBytes
    // callers who have not logged in have no more than their share: what people have beyond theirs goes first
    for (const { complete } of [share, this.#ofPeople, this.#ofAnonymous]) {
      for (let { first } = complete; first !== undefined && isFull(); { first } = complete) this.#drop(first)
    }
    // what is complete is gone by now: the stream that grows pays for the rest
    const tooLarge = () => stream.characters > maxBytesPerStream || tooMuch() || isFull()
    while (stream.size > maxEventsPerStream || (stream.size > 1 && tooLarge())) {
      const dropped = stream.dropOldest()
      if (dropped === undefined) return
      this.#count(stream, -dropped)
    }
  }

  #count (stream: SessionStream, characters: number): void {
    stream.session.characters += characters
    stream.session.share.characters += characters
  }

  #finish (stream: SessionStream): void {
    stream.completeAt = this.#now()
    stream.pump()
    stream.session.share.complete.add(stream)
  }

  #drop (stream: SessionStream): void {
    const { streams, id } = stream.session
    streams.delete(stream.streamId)
    if (streams.size === 0) this.#sessions.delete(id)
    this.#forget(stream)
  }

  #forget (stream: SessionStream): void {
    this.#count(stream, -stream.characters)
    stream.completeAt ??= this.#now()
    stream.forget()
    stream.session.share.complete.delete(stream)
  }

  /** Drops complete streams that nobody reads as long as `needed`: those that were read first, the oldest first. */
  #dropWhile (streams: Iterable<SessionStream>, needed: () => boolean): void {
    for (const wasRead of [true, false]) {
      for (const stream of streams) {
        if (!needed()) return
        if (stream.completeAt === undefined || stream.hasReader) continue
        if (!wasRead || stream.lastRead >= stream.last) this.#drop(stream)
      }
    }
  }

  /** Drops what is old, some in each turn. Never rejects. */
  async #dropOld (): Promise<void> {
    if (this.#isSweeping) return
    this.#isSweeping = true
    for (const { complete } of [this.#ofPeople, this.#ofAnonymous]) {
      await inSlices(complete.until(this.#oldest), stream => { this.#drop(stream) })
    }
    await inSlices(this.#sessions.values(), ({ streams }) => {
      const stream = streams.get(STANDALONE_STREAM)
      if (stream === undefined) return
      this.#trimOld(stream)
      if (stream.size === 0 && !stream.hasReader) this.#drop(stream)
    })
    this.#isSweeping = false
  }
}
