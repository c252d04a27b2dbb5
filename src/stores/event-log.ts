/** One event of a stream. `data` is the text of one JSON-RPC message. */
export interface StreamEvent {
  readonly eventId: string
  readonly data: string
}

/** Receives a stream's events, in order and each once, first those logged already. */
export interface EventReader {
  /** Whether it takes no event now. The log then waits until `Following.resume` is called. Default: false. */
  readonly isFull?: boolean
  onEvent (event: StreamEvent): void
  /** The stream is complete: nothing will follow. */
  onEnd (): void
  /** Another reader has taken the place: nothing will follow here. */
  onTaken? (): void
}

export interface StreamOptions {
  /** Ids of the client's requests that this stream answers. */
  requestIds?: ReadonlyArray<string | number>
}

/** An event that is written. */
export interface NewEvent {
  /** The text of one JSON-RPC message; absent: the stream is completed without one. */
  data?: string
  /** Whether no bound may drop it: it is a response, or a request to the client. */
  isKept?: boolean
  /** The id of the client's request that it answers. */
  answers?: string | number
  /** Whether it completes the stream. */
  isFinal?: boolean
  /** Its position, from 1, growing. Only for streams with one writer; default: the log gives it. */
  position?: number
}

/** How an append is made. */
export interface AppendOptions {
  /** Identifies the append if the log gives the positions: one that is repeated under its name adds nothing. */
  name?: string
  /** Whether the client was sent the events already: then they are only for resumption. */
  isSent?: boolean
}

/** What became of an append. */
export interface Appended {
  /** How many of the events the stream took. It takes none once it is unknown or complete, or too much is kept. */
  taken: number
  /** Why it took no more: `over`: the stream is unknown or complete; `full`: what must be kept has no room. */
  refusal?: 'over' | 'full'
  /** Characters that a reader of the log has not taken; absent if nobody reads. */
  unread?: number
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
  /** Continues the reading: the reader takes events again. */
  resume (): void
  /** Ends the reading. */
  stop (): void
}

/** The stream of messages that belong to no request. It exists as long as its session and never ends by itself. */
export const STANDALONE_STREAM = 'get'

/**
 * Append-only log of a session's streams, for clients that resume and for readers on other replicas. What a reader has
 * not taken stays, as long as it reads; besides, the log is bounded: the oldest events go first, but no response and no
 * request to the client. Calls of one process take effect in the order they were made, without awaiting.
 */
export interface EventLog {
  /** Characters kept in all streams, where this process keeps them. */
  readonly bytes?: number
  /** Opens a stream. STANDALONE_STREAM needs no opening. */
  open (sessionId: string, streamId: string, options: StreamOptions): Promise<void>
  /** Appends events, in one step. To repeat an append that may have happened, with the same options, is safe. */
  append (
    sessionId: string,
    streamId: string,
    events: readonly NewEvent[],
    options?: AppendOptions
  ): Promise<Appended>
  /** @returns characters that a reader of the stream has not taken; undefined if nobody reads it */
  unread (sessionId: string, streamId: string): Promise<number | undefined>
  /**
   * Calls `onFollowed`, later, if somebody reads a stream or begins to, here or on another replica.
   * @returns a function that ends the watch
   */
  watch (sessionId: string, streamId: string, onFollowed: () => void): () => void
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

/** Characters of requests to the client that a stream keeps; more are refused. */
export const MAX_KEPT_CHARACTERS = 16_777_216

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
