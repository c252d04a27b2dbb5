import type { Admission } from '../admission/admission.js'
import type { Holder } from '../admission/places.js'
import type { SseStream } from './sse-stream.js'

/** All SSE responses that this process holds open: it keeps them alive and ends them together. */
export class OpenStreams {
  readonly #streams = new Set<SseStream>()
  readonly #admission: Admission
  readonly #retryMs: number
  readonly #heartbeat: NodeJS.Timeout

  constructor (options: { admission: Admission, heartbeatMs: number, retryMs: number }) {
    this.#admission = options.admission
    this.#retryMs = options.retryMs
    // one timer for all: a timer for each would cost more than the stream itself
    this.#heartbeat = setInterval(() => {
      for (const stream of this.#streams) stream.comment()
    }, options.heartbeatMs).unref()
  }

  get size (): number {
    return this.#streams.size
  }

  /**
   * Takes a place for a stream that a person asks for.
   * @throws {TooManyRequestsError} @throws {ServerFullError}
   */
  reserve (person: string): StreamPlace {
    return new StreamPlace(this.#admission, person, this.#retryMs)
  }

  add (stream: SseStream): void {
    this.#streams.add(stream)
  }

  delete (stream: SseStream): void {
    this.#streams.delete(stream)
  }

  /** Ends the streams that were opened under a grant. */
  endGrant (grantId: string): void {
    for (const stream of this.#streams) {
      if (stream.holder.grantId === grantId) stream.end()
    }
  }

  /** Ends every stream, telling clients when to reconnect. */
  endAll (retryMs: number): void {
    for (const stream of this.#streams) stream.end(retryMs)
  }

  /** Stops the heartbeat. */
  close (): void {
    clearInterval(this.#heartbeat)
  }
}

/** The place of a stream that a client has asked for, from the request on. It is free again when the stream is over. */
export class StreamPlace implements Holder {
  readonly person: string
  readonly state = 'lasting'
  readonly #admission: Admission
  readonly #retryMs: number
  #stream: SseStream | undefined

  constructor (admission: Admission, person: string, retryMs: number) {
    this.person = person
    this.#admission = admission
    this.#retryMs = retryMs
    admission.takeStream(this)
  }

  /** Sets the stream that the place was taken for. */
  holds (stream: SseStream): void {
    this.#stream = stream
  }

  /** Makes room for a person who has less: the client is told to reconnect. */
  giveWay (): void {
    this.#stream?.giveWay(this.#retryMs)
  }

  free (): void {
    this.#admission.freeStream(this)
  }
}
