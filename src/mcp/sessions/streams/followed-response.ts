import type { RequestId } from '@modelcontextprotocol/server'
import { TemporarilyUnavailableError } from '../../../errors.js'
import { jsonRpcCodes } from '../../../json-rpc-codes.js'
import { parseRecord } from '../../../parse-record.js'
import { firstEventId, type EventReader, type Following, type StreamEvent } from '../../../stores/event-log.js'
import type { PostResponse } from '../../transport/post-response.js'
import type { SseStream } from '../../transport/sse-stream.js'
import { errorText } from '../../wire/messages.js'
import { runInBackground } from '../background.js'
import { settleIfOrphaned, type OrphansHost } from './orphaned-streams.js'

export interface FollowedResponseOptions {
  host: OrphansHost
  sessionId: string
  /** A stream that the replica will write which runs the requests; its id begins with that replica's. */
  streamId: string
  requestIds: readonly RequestId[]
  isBatch: boolean
  /** Silence after which a pending response becomes a stream. */
  silenceMs: number
  /** If set, the first event of a stream has no message: it says to resume after this time. */
  primingRetryMs: number | undefined
  /** When a client should come back whose stream ends before its response. */
  retryMs: number
  /** Characters that may wait here until the client has a response. */
  maxWaiting: number
  openBody: () => SseStream
}

/**
 * The response to a POST whose requests run at another replica, read from the event log as that one writes it. To the
 * client it looks as if they ran here: JSON if there is nothing but the responses, a stream otherwise, which can be
 * resumed. If that replica dies, the log says so.
 */
export class FollowedResponse implements EventReader {
  readonly #options: FollowedResponseOptions
  /** What has come and is not in the body. */
  readonly #events: StreamEvent[] = []
  #characters = 0
  /** Whether a message has come that is not a response. */
  #hasOthers = false
  #hasEnded = false
  #isOver = false
  #response: PostResponse | undefined
  #body: SseStream | undefined
  #following: Following | undefined
  #silence: NodeJS.Timeout | undefined
  #unwatch = () => {}
  readonly #listeners: Array<() => void> = []

  constructor (options: FollowedResponseOptions) {
    this.#options = options
  }

  /** Whether anything has come. */
  get hasBegun (): boolean {
    return this.#hasEnded || this.#events.length > 0
  }

  get isFull (): boolean {
    return this.#body?.isFull ?? this.#characters > this.#options.maxWaiting
  }

  /** Calls a function when the response is over. */
  onOver (listener: () => void): void {
    this.#listeners.push(listener)
  }

  /** Begins to read, before there is anything to be read: so nothing is dropped before it was. */
  async open (): Promise<void> {
    const { host, sessionId, streamId, requestIds } = this.#options
    await host.eventLog.open(sessionId, streamId, { requestIds })
    const following = await host.eventLog.follow(sessionId, streamId, firstEventId(streamId), this)
    if (following === undefined) {
      throw new TemporarilyUnavailableError('The event log does not keep the response.', { retryAfterSeconds: 1 })
    }
    if (this.#isOver) {
      following.stop()
      return
    }
    this.#following = following
    this.#unwatch = settleIfOrphaned(host, sessionId, streamId) ?? this.#unwatch
  }

  /** The requests run: responds to the client with what comes. */
  respondTo (response: PostResponse): void {
    this.#response = response
    this.#decide()
    if (this.#isOver || this.#body !== undefined) return
    this.#silence = setTimeout(() => { this.#becomeStream() }, this.#options.silenceMs).unref()
  }

  onEvent (event: StreamEvent): void {
    if (this.#body !== undefined) {
      this.#body.message(event.data, event.eventId)
      return
    }
    this.#events.push(event)
    this.#characters += event.data.length
    this.#hasOthers ||= hasMethod(event.data)
    this.#decide()
  }

  onEnd (): void {
    this.#hasEnded = true
    this.#unwatch()
    if (this.#body === undefined) this.#decide()
    else this.#body.end()
  }

  onTaken (): void {
    if (this.#body === undefined) this.#finish()
    else this.#body.onTaken()
  }

  /** The requests do not run: nothing will come, and nobody else waits for it. */
  abandon (): void {
    const { host: { eventLog, log }, sessionId, streamId } = this.#options
    this.#finish()
    runInBackground(eventLog.settle(sessionId, streamId, []), log, 'a stream that nobody needs stays in the log', {
      sessionId
    })
  }

  /** This process ends, and the requests run on: the client is told to come back for the response, if it can. */
  leave (): void {
    if (this.#options.primingRetryMs === undefined) this.fail('The server is shutting down.')
    else {
      if (this.#body === undefined) this.#becomeStream()
      this.#body?.end(this.#options.retryMs)
    }
  }

  /** Responds with errors. Which requests of a batch have had theirs on a stream is not known: then it just ends. */
  fail (message: string): void {
    if (this.#isOver || this.#hasEnded) return
    const { requestIds, isBatch } = this.#options
    const texts = requestIds.map(id => errorText(jsonRpcCodes.serverError, message, id))
    if (this.#body === undefined) this.#json(texts)
    else {
      if (!isBatch) this.#body.message(texts.join(''))
      this.#body.end()
    }
  }

  #decide (): void {
    if (this.#response === undefined || this.#isOver) return
    // without any message, it can only be a stream
    if (this.#hasOthers) this.#becomeStream()
    else if (this.#hasEnded && this.#events.length === 0) this.#becomeStream(false)
    else if (this.#hasEnded) this.#json(this.#events.map(({ data }) => data))
  }

  #json (texts: readonly string[]): void {
    this.#response?.json(this.#options.isBatch ? `[${texts.join(',')}]` : texts.join(''))
    this.#finish()
  }

  #becomeStream (primed = true): void {
    clearTimeout(this.#silence)
    // a client that left before it got an event id cannot resume
    if (this.#response === undefined || this.#response.gone) {
      this.#finish()
      return
    }
    const { openBody, primingRetryMs, streamId } = this.#options
    const body = this.#body = openBody()
    body.once('close', () => { this.#finish() })
    if (primed && primingRetryMs !== undefined) body.prime(firstEventId(streamId), primingRetryMs)
    else body.comment()
    for (const { data, eventId } of this.#events.splice(0)) body.message(data, eventId)
    if (this.#hasEnded) body.end()
    else if (this.#following !== undefined) body.reads(this.#following)
    this.#response.stream(body)
  }

  #finish (): void {
    if (this.#isOver) return
    this.#isOver = true
    clearTimeout(this.#silence)
    this.#unwatch()
    this.#following?.stop()
    for (const listener of this.#listeners) listener()
  }
}

/** Whether the text of a message is a request or a notification; within strings, quotes are escaped. */
function hasMethod (text: string): boolean {
  return text.includes('"method"') && 'method' in parseRecord<object>(text)
}
