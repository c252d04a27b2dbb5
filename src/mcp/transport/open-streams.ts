import { inSlices } from '../../collections/in-slices.js'
import type { Admission } from '../admission/admission.js'
import type { Holder } from '../admission/places.js'
import type { SseStream } from './sse-stream.js'

// heartbeats of one interval are sent in so many turns, but not more often than this
const MOST_TURNS = 200
const LEAST_TURN_MS = 50

/** All SSE responses that this process holds open: it keeps them alive and ends them together. */
export class OpenStreams {
  /** Each with the turn in which it gets its heartbeats. */
  readonly #streams = new Map<SseStream, Set<SseStream>>()
  /** One after another has its turn; in an interval, each has one. */
  readonly #turns: ReadonlyArray<Set<SseStream>>
  #turn = 0
  #nextTurn = 0
  readonly #ofGrants = new Map<string, Set<SseStream>>()
  readonly #admission: Admission
  readonly #retryMs: number
  readonly #heartbeat: NodeJS.Timeout

  constructor (options: { admission: Admission, heartbeatMs: number, retryMs: number }) {
    this.#admission = options.admission
    this.#retryMs = options.retryMs
    const turns = Math.max(1, Math.min(MOST_TURNS, Math.floor(options.heartbeatMs / LEAST_TURN_MS)))
    this.#turns = Array.from({ length: turns }, () => new Set<SseStream>())
    // one timer for all: a timer for each would cost more than the stream itself
    this.#heartbeat = setInterval(() => {
      for (const stream of this.#turns[this.#turn] ?? []) stream.comment()
      this.#turn = (this.#turn + 1) % turns
    }, options.heartbeatMs / turns).unref()
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
    // those that come together are spread over the interval
    const turn = this.#turns[this.#nextTurn] ?? new Set()
    this.#nextTurn = (this.#nextTurn + 1) % this.#turns.length
    this.#streams.set(stream, turn.add(stream))
    const { grantId } = stream.holder
    if (grantId !== undefined) this.#ofGrants.set(grantId, (this.#ofGrants.get(grantId) ?? new Set()).add(stream))
  }

  delete (stream: SseStream): void {
    this.#streams.get(stream)?.delete(stream)
    this.#streams.delete(stream)
    const { grantId = '' } = stream.holder
    const ofGrant = this.#ofGrants.get(grantId)
    if (ofGrant?.delete(stream) === true && ofGrant.size === 0) this.#ofGrants.delete(grantId)
  }

  /** Ends the streams that were opened under a grant. */
  endGrant (grantId: string): void {
    for (const stream of this.#ofGrants.get(grantId) ?? []) stream.end()
  }

  /** Ends every stream, telling clients when to reconnect. */
  async endAll (retryMs: number): Promise<void> {
    await inSlices(this.#streams.keys(), stream => { stream.end(retryMs) })
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
