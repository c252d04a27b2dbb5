import { randomUUID } from 'node:crypto'
import {
  findEventPlace,
  formatEventId,
  EVENT_LOG_BOUNDS,
  type EventLog,
  type EventReader,
  type Following,
  type MissingAnswer,
  type StreamOptions
} from '../event-log.js'
import type { RedisConnection } from './connection.js'
import type { KeyMaker } from './keys.js'
import { eventLogScripts, type StreamArguments, type StreamKeys } from './scripts/event-log.js'
import { isPosition, StreamReader } from './stream-reader.js'
import type { RedisSubscriber } from './subscriber.js'
import { parseRecord } from '../../parse-record.js'

export interface RedisEventLogOptions {
  /** Events kept of one stream. Default: 256. */
  maxEventsPerStream?: number
  /** Bytes kept of one stream, besides its newest event. Default: 1 Mi. */
  maxBytesPerStream?: number
  /** Bytes kept of one session; beyond, its oldest complete streams go first. Default: 8 Mi. */
  maxBytesPerSession?: number
  /** Streams kept of one session; beyond, the oldest complete ones go first. Default: 128. */
  maxStreamsPerSession?: number
  /** Time that a complete stream, or an event of the standalone stream, is kept. Default: 300. */
  retentionSeconds?: number
  /** Time that a stream is kept without an event and without a reader. Default: 3600. */
  openSeconds?: number
  /**
   * Readers look for themselves this often, woken or not; with it their streams are kept. Default: 30, or a third of
   * `openSeconds` where that is less.
   */
  rereadSeconds?: number
}

const BATCH = 256
const ANSWERED = 'answered:'

interface SessionReaders {
  readonly readers: Set<StreamReader>
  readonly unsubscribe: () => void
}

/**
 * The event log of all replicas: a Redis stream for each stream. Pub/sub, on one channel for each session, only wakes
 * readers; what they are told stands in the stream. All of a session stands under its id as hash tag.
 */
export class RedisEventLog implements EventLog {
  readonly #connection: RedisConnection
  readonly #subscriber: RedisSubscriber
  readonly #keys: KeyMaker
  readonly #limits: Required<RedisEventLogOptions>
  readonly #sessions = new Map<string, SessionReaders>()
  readonly #reread: NodeJS.Timeout

  constructor (
    connection: RedisConnection,
    subscriber: RedisSubscriber,
    keys: KeyMaker,
    options: RedisEventLogOptions = {}
  ) {
    this.#connection = connection
    this.#subscriber = subscriber
    this.#keys = keys
    const limits = {
      ...EVENT_LOG_BOUNDS,
      openSeconds: 3600,
      rereadSeconds: 30,
      ...options
    }
    const openSeconds = Math.max(limits.openSeconds, limits.retentionSeconds)
    this.#limits = { ...limits, openSeconds, rereadSeconds: Math.min(limits.rereadSeconds, openSeconds / 3) }
    connection.define(eventLogScripts)
    connection.onReady(() => { this.#wakeAll() })
    this.#reread = setInterval(() => { this.#wakeAll() }, this.#limits.rereadSeconds * 1000).unref()
  }

  /** Stops the housekeeping; readers are stopped. */
  close (): void {
    clearInterval(this.#reread)
    for (const { readers } of this.#sessions.values()) for (const reader of readers) reader.stop()
  }

  async open (
    sessionId: string,
    streamId: string,
    { requestIds = [], resumable = true }: StreamOptions
  ): Promise<void> {
    await this.#connection.run(redis =>
      redis.mcpOpenStream(
        ...this.#stream(sessionId, streamId),
        resumable ? 1 : 0,
        JSON.stringify(requestIds)
      )
    )
  }

  async append (
    sessionId: string,
    streamId: string,
    data: string,
    final = false,
    answers?: string | number
  ): Promise<void> {
    await this.#connection.run(redis =>
      redis.mcpAppendEvent(
        ...this.#stream(sessionId, streamId),
        ...this.#bounds(),
        data,
        final ? 1 : 0,
        answers === undefined ? '' : JSON.stringify(answers)
      )
    )
  }

  async settle (sessionId: string, streamId: string, answers: readonly MissingAnswer[]): Promise<boolean> {
    return await this.#connection.run(redis =>
      redis.mcpSettleStream(
        ...this.#stream(sessionId, streamId),
        ...this.#bounds(),
        ...answers.flatMap(({ requestId, data }) => [JSON.stringify(requestId), data])
      )
    ) === 1
  }

  async end (sessionId: string, streamId: string): Promise<void> {
    await this.#connection.run(redis => redis.mcpEndStream(...this.#stream(sessionId, streamId)))
  }

  async follow (
    sessionId: string,
    streamId: string,
    after: string | undefined,
    reader: EventReader
  ): Promise<Following | undefined> {
    const from = after === undefined ? '' : findEventPlace(after)?.position
    if (from === undefined || (from !== '' && !isPosition(from))) return undefined
    const token = randomUUID()
    const stream = this.#stream(sessionId, streamId)
    const following = new StreamReader(streamId, reader, {
      first: () => this.#connection.run(redis => redis.mcpFollowStream(...stream, token, from, BATCH)),
      next: position => this.#connection.run(redis => redis.mcpReadStream(...stream, token, position, BATCH)),
      failed: error => { this.#connection.report(error) },
      stopped: taken => {
        this.#remove(sessionId, following)
        if (!taken) this.#connection.run(redis => redis.mcpLeaveStream(stream[2], token)).catch(() => {})
      }
    })
    this.#add(sessionId, following)
    if (!await following.begin()) return undefined
    return { position: after ?? formatEventId(streamId, following.position), stop () { following.stop() } }
  }

  async pendingRequests (sessionId: string, streamId: string): Promise<ReadonlyArray<string | number> | undefined> {
    const [,, stream] = this.#stream(sessionId, streamId)
    const fields = await this.#connection.run(redis => redis.hgetall(stream))
    if (fields.resumable === undefined || fields.complete !== undefined) return undefined
    const requestIds: Array<string | number> = parseRecord(fields.requestIds ?? '[]')
    return requestIds.filter(id => fields[ANSWERED + JSON.stringify(id)] === undefined)
  }

  async deleteSession (sessionId: string): Promise<void> {
    const index = this.#index(sessionId)
    await this.#connection.run(redis => redis.mcpDeleteStreams(index, this.#keys.make('logBytes', sessionId), index))
  }

  #add (sessionId: string, reader: StreamReader): void {
    const session = this.#sessions.get(sessionId)
    if (session !== undefined) {
      session.readers.add(reader)
      return
    }
    const readers = new Set([reader])
    const unsubscribe = this.#subscriber.subscribe(this.#index(sessionId), message => { tell(readers, message) })
    this.#sessions.set(sessionId, { readers, unsubscribe })
  }

  #remove (sessionId: string, reader: StreamReader): void {
    const session = this.#sessions.get(sessionId)
    if (session === undefined || !session.readers.delete(reader) || session.readers.size > 0) return
    this.#sessions.delete(sessionId)
    session.unsubscribe()
  }

  #wakeAll (): void {
    for (const { readers } of this.#sessions.values()) tell(readers, undefined)
  }

  /** Key of the session's list of streams, and name of its channel. */
  #index (sessionId: string): string {
    return this.#keys.make('log', sessionId)
  }

  #bounds (): [maxEvents: number, maxBytes: number, maxSessionBytes: number] {
    const { maxEventsPerStream, maxBytesPerStream, maxBytesPerSession } = this.#limits
    return [maxEventsPerStream, maxBytesPerStream, maxBytesPerSession]
  }

  /** Keys and first arguments of a script that handles a stream. */
  #stream (sessionId: string, streamId: string): [...StreamKeys, ...StreamArguments] {
    const index = this.#index(sessionId)
    const { openSeconds, retentionSeconds, maxStreamsPerSession } = this.#limits
    return [
      index,
      this.#keys.make('logBytes', sessionId),
      this.#keys.make('logStream', sessionId, streamId),
      this.#keys.make('logEvents', sessionId, streamId),
      streamId,
      index,
      Math.ceil(openSeconds * 1000),
      Math.ceil(retentionSeconds * 1000),
      maxStreamsPerSession
    ]
  }
}

/**
 * Hands a message of a session's channel to the readers it is for: `<stream id> <event id>`, or `!` where something
 * else has changed.
 */
function tell (readers: ReadonlySet<StreamReader>, message = '* !'): void {
  const split = message.lastIndexOf(' ')
  const [streamId, position] = [message.slice(0, split), message.slice(split + 1)]
  for (const reader of readers) {
    if (streamId === '*' || streamId === reader.streamId) reader.wake(position === '!' ? undefined : position)
  }
}
