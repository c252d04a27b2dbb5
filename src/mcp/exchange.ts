import type { JSONRPCRequest, RequestId } from '@modelcontextprotocol/sdk/types.js'
import { startOf } from '../stores/event-log.js'
import type { Answer } from './answer.js'
import { errorText } from './json-rpc.js'
import type { LiveSession } from './live-session.js'
import { takesPrimingEvents } from './protocol-versions.js'

/**
 * One POST with requests, from its arrival to the last answer. It begins quiet, to be answered as JSON; the first
 * message that comes before the answers, or a while of silence, makes it a stream of the event log.
 */
export class Exchange {
  readonly grantId: string | undefined
  readonly #session: LiveSession
  readonly #answer: Answer
  readonly #pending: Set<RequestId>
  /** Answers of a batch so far. */
  readonly #results: string[] = []
  readonly #isBatch: boolean
  readonly #silence: NodeJS.Timeout
  #streamId: string | undefined

  constructor (session: LiveSession, answer: Answer, requests: readonly JSONRPCRequest[], isBatch: boolean, grantId: string | undefined) {
    this.#session = session
    this.#answer = answer
    this.#isBatch = isBatch
    this.#pending = new Set(requests.map(({ id }) => id))
    this.grantId = grantId
    this.#silence = setTimeout(becomeStream, session.host.streamOptions.silenceMs, this).unref()
  }

  /** Takes the answer to one of the requests. */
  respond (id: RequestId, text: string): void {
    this.#pending.delete(id)
    const complete = this.#pending.size === 0
    if (complete) clearTimeout(this.#silence)
    if (this.#streamId !== undefined) {
      this.#session.append(this.#streamId, text, complete)
    } else {
      this.#results.push(text)
      if (complete) this.#answer.json(this.#isBatch ? `[${this.#results.join(',')}]` : text)
    }
  }

  /** Takes a message that belongs to one of the requests. */
  push (text: string): void {
    this.becomeStream()
    if (this.#streamId !== undefined) this.#session.append(this.#streamId, text)
  }

  /** One of the requests was cancelled: it gets no answer. */
  cancel (id: RequestId): void {
    if (!this.#pending.delete(id) || this.#pending.size > 0) return
    clearTimeout(this.#silence)
    if (this.#streamId === undefined) {
      // an answer with no message in it must be a stream
      if (this.#results.length === 0) this.becomeStream(false)
      else this.#answer.json(`[${this.#results.join(',')}]`)
    }
    if (this.#streamId !== undefined) this.#session.endStream(this.#streamId)
  }

  /** Answers what is pending with an error. */
  fail (code: number, message: string): void {
    for (const id of [...this.#pending]) this.respond(id, errorText(code, message, id))
  }

  /** Lets go of the connection; the client comes back for the rest (SEP-1699). */
  releaseConnection (): void {
    this.becomeStream()
    if (this.#streamId !== undefined) this.#session.releaseStreams(this.#streamId)
  }

  /** Turns a quiet answer into a stream. */
  becomeStream (primed = true): void {
    // a client that left before it got an event id has nothing to come back with
    if (this.#streamId !== undefined || this.#answer.gone) return
    clearTimeout(this.#silence)
    const session = this.#session
    const streamId = this.#streamId = session.host.newStreamId()
    const stream = session.createStream(streamId, this.grantId)
    if (primed && takesPrimingEvents(session.record.protocolVersion)) stream.prime(startOf(streamId), session.host.streamOptions.retryMs)
    else stream.comment()
    session.openLogged(streamId, [...this.#pending], stream)
    for (const result of this.#results.splice(0)) session.append(streamId, result)
    this.#answer.stream(stream)
  }
}

function becomeStream (exchange: Exchange): void {
  exchange.becomeStream()
}
