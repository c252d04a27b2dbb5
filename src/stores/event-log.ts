/** One event of a stream. `data` is the text of one JSON-RPC message. */
export interface StreamEvent {
  readonly eventId: string
  readonly data: string
}

/** Receives a stream's events, in order and each once, first those logged already. */
export interface EventReader {
  onEvent (event: StreamEvent): void
  /** The stream is complete: nothing will follow. */
  onEnd (): void
}

export interface StreamOptions {
  /** Ids of the client's requests that this stream answers. */
  requestIds?: ReadonlyArray<string | number>
  /** false: an event is forgotten once a reader has it. Default: true. */
  resumable?: boolean
}

/** What a request is answered with, unless it was. */
export interface MissingAnswer {
  readonly requestId: string | number
  /** Text of the answer. */
  readonly data: string
}

/** A reading of a stream. */
export interface Following {
  /** Event id after which the live part began. */
  readonly position: string
  /** Ends the reading. */
  stop (): void
}

/** The stream of messages that belong to no request. It exists as long as its session and never ends by itself. */
export const STANDALONE_STREAM = 'get'

/**
 * Append-only log of a session's streams, from which every SSE response is read: what was logged, then live.
 * Bounded: the oldest events go first. Calls of one process take effect in the order they were made, without awaiting.
 */
export interface EventLog {
  /** Characters kept in all streams, where this process keeps them. */
  readonly bytes?: number
  /** Opens a stream. STANDALONE_STREAM needs no opening unless it has options. */
  open (sessionId: string, streamId: string, options: StreamOptions): Promise<void>
  /**
   * Appends one event; `final` completes the stream with it. A stream that is unknown or complete takes none.
   * @param answers id of the request that the event answers, where others of the stream are pending
   */
  append (sessionId: string, streamId: string, data: string, final?: boolean, answers?: string | number): Promise<void>
  /** Completes a stream without another event. */
  end (sessionId: string, streamId: string): Promise<void>
  /**
   * Reads a stream: everything after the event `after`, or, without it, everything that no reader has got yet.
   * A stream has one reader; a new one takes its place.
   * @returns undefined if the stream is unknown, or no longer known
   */
  follow(
    sessionId: string,
    streamId: string,
    after: string | undefined,
    reader: EventReader
  ): Promise<Following | undefined>
  /**
   * @returns the ids of the requests that a stream was opened for and has not answered; undefined if it is unknown
   * or complete
   */
  pendingRequests (sessionId: string, streamId: string): Promise<ReadonlyArray<string | number> | undefined>
  /**
   * Completes a stream in the place of its writer, in one step: with those of these answers that are missing. What the
   * writer brings later is too late.
   * @returns false where the stream is unknown or was complete already
   */
  settle (sessionId: string, streamId: string, answers: readonly MissingAnswer[]): Promise<boolean>
  /** Forgets a session's streams; their readers are told the end. */
  deleteSession (sessionId: string): Promise<void>
}

/** Bounds of what is kept for clients that resume, unless the options of the stores say otherwise. */
export const EVENT_LOG_BOUNDS = {
  maxEventsPerStream: 256,
  maxBytesPerStream: 1_048_576,
  maxBytesPerSession: 8_388_608,
  maxStreamsPerSession: 128,
  retentionSeconds: 300
}
/** Bytes kept of all sessions, in a log in memory. */
export const EVENT_LOG_BYTES = 268_435_456

// <stream id>:<position>, both opaque to clients; no part can break an SSE line
const EVENT_ID = /^([A-Za-z0-9_-]{1,64}):([0-9-]{1,40})$/

/** The id of the event at a position of a stream. */
export function formatEventId (streamId: string, position: string | number): string {
  return `${streamId}:${position}`
}

/** The event id before a stream's first event. */
export function firstEventId (streamId: string): string {
  return formatEventId(streamId, 0)
}

/** @returns undefined if no event log makes such ids */
export function findEventPlace (eventId: string): { streamId: string, position: string } | undefined {
  const [, streamId, position] = EVENT_ID.exec(eventId) ?? []
  return streamId === undefined || position === undefined ? undefined : { streamId, position }
}
