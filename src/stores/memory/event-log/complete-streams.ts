import { PriorityQueue } from '../../../collections/priority-queue.js'
import { LoggedStream } from './logged-stream.js'

/** What the log has of some sessions, all together. */
export class LoggedShare {
  readonly complete = new CompleteStreams()
  characters = 0

  constructor (readonly maxCharacters: number) {}
}

/** The streams of a session. */
export class LoggedSession {
  readonly streams = new Map<string, SessionStream>()
  characters = 0

  constructor (readonly id: string, readonly share: LoggedShare) {}
}

/** A stream of a session. */
export class SessionStream extends LoggedStream {
  /** Its place among the complete ones; 0 if it is not complete, or forgotten. */
  completion = 0

  constructor (readonly session: LoggedSession, streamId: string) {
    super(streamId)
  }
}

/** Streams that are complete and have no reader, the oldest first. Every step takes logarithmic time. */
class CompleteStreams {
  readonly #read = new PriorityQueue<SessionStream>()
  readonly #unread = new PriorityQueue<SessionStream>()
  #completions = 0

  /** The one to be dropped first: the oldest of those that were read to their end, then of the others. */
  get first (): SessionStream | undefined {
    return (this.#read.first ?? this.#unread.first)?.key
  }

  /** Adds a stream that has just been completed. */
  add (stream: SessionStream): void {
    stream.completion = ++this.#completions
    this.update(stream)
  }

  /** Notes that somebody has begun to read a stream, has read more, or reads no more. */
  update (stream: SessionStream): void {
    if (stream.completion === 0) return
    this.#remove(stream)
    if (stream.hasReader) return
    const queue = stream.lastRead >= stream.last ? this.#read : this.#unread
    queue.set(stream, stream.completion)
  }

  delete (stream: SessionStream): void {
    this.#remove(stream)
    stream.completion = 0
  }

  /**
   * Those that were completed at a time or before.
   * @param time milliseconds since the epoch
   * @returns the streams; each is to be deleted before the next is asked for
   */
  * until (time: number): Generator<SessionStream> {
    for (const queue of [this.#read, this.#unread]) {
      for (let next = queue.first?.key; next !== undefined; next = queue.first?.key) {
        if ((next.completeAt ?? 0) > time) break
        yield next
      }
    }
  }

  #remove (stream: SessionStream): void {
    this.#read.delete(stream)
    this.#unread.delete(stream)
  }
}
