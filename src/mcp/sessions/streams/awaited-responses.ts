import type { RequestId } from '@modelcontextprotocol/server'
import { jsonRpcCodes } from '../../../json-rpc-codes.js'
import type { SseStream } from '../../transport/sse-stream.js'
import { errorText } from '../../wire/messages.js'
import { runInBackground } from '../background.js'
import type { OrphansHost } from './orphaned-streams.js'

export const SESSION_ENDED = 'The session has ended.'

/** Streams by which clients have come back for the responses to requests that run at other replicas. */
export class AwaitedResponses {
  readonly #host: OrphansHost
  readonly #sessionId: string
  readonly #ids = new WeakMap<SseStream, RequestId>()

  constructor (host: OrphansHost, sessionId: string) {
    this.#host = host
    this.#sessionId = sessionId
  }

  /** Notes what a stream is to carry. */
  note (stream: SseStream, streamId: string): void {
    const { eventLog, log } = this.#host
    const noting = eventLog.pendingRequests(this.#sessionId, streamId).then(([id, ...others] = []) => {
      // which requests of a batch will have had their response is not known: its stream just ends
      if (id !== undefined && others.length === 0) this.#ids.set(stream, id)
    })
    runInBackground(noting, log, 'what a client waits for is not known', { sessionId: this.#sessionId })
  }

  /** Says on a stream that the session has ended, instead of the response. */
  fail (stream: SseStream): void {
    const id = this.#ids.get(stream)
    if (id !== undefined) stream.message(errorText(jsonRpcCodes.serverError, SESSION_ENDED, id))
  }
}
