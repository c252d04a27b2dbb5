import { randomUUID } from 'node:crypto'
import {
  findEventPlace,
  formatEventId,
  EVENT_LOG_BOUNDS,
  type AppendOptions,
  type Appended,
  type EventLog,
  type EventReader,
  type Following,
  type MissingAnswer,
  type NewEvent,
  type StreamOptions
} from '../event-log.js'
import { Rounds } from '../../collections/rounds.js'
import type { RedisConnection } from './connection/connection.js'
import type { KeyMaker } from './keys.js'
import { eventLogScripts, type EventArguments, type StreamArguments, type StreamKeys } from './scripts/event-log.js'
import { isPosition, StreamReader } from './stream-reader.js'
import type { RedisSubscriber } from './connection/subscriber.js'
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

const ANSWERED = 'answered:'

/** Who reads a stream, or watches who does. */
type Listener = Pick<StreamReader, 'streamId' | 'wake' | 'followed' | 'missed'>

interface SessionListeners {
  readonly listeners: Set<Listener>
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
  readonly #sessions = new Map<string, SessionListeners>()
  readonly #reread: Rounds<SessionListeners>

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
    this.#reread = new Rounds({
      items: this.#sessions,
      act: ({ listeners }) => { tell(listeners) },
      intervalMs: this.#limits.rereadSeconds * 1000
    })
    connection.onReady(() => { this.#wakeAll() })
  }

  /** Stops the housekeeping; readers are stopped. */
  close (): void {
    this.#reread.stop()
    for (const { listeners } of this.#sessions.values()) {
      for (const listener of listeners) if (listener instanceof StreamReader) listener.stop()
    }
  }

  async open (sessionId: string, streamId: string, { requestIds = [] }: StreamOptions): Promise<void> {
    await this.#connection.run(redis =>
      redis.mcpOpenStream(...this.#stream(sessionId, streamId), JSON.stringify(requestIds))
    )
  }

  async append (
    sessionId: string,
    streamId: string,
    events: readonly NewEvent[],
    { name = '', isSent = false }: AppendOptions = {}
  ): Promise<Appended> {
    const [taken, refusal, unread] = await this.#connection.run(redis =>
      redis.mcpAppendEvents(
        ...this.#stream(sessionId, streamId),
        ...this.#bounds(),
        name,
        isSent ? 1 : 0,
        ...events.flatMap(toArguments)
      )
    )
    return { taken, ...refusal !== '' && { refusal }, ...unread >= 0 && { unread } }
  }

  async unread (sessionId: string, streamId: string): Promise<number | undefined> {
    const unread = await this.#connection.run(redis => redis.mcpUnread(...this.#stream(sessionId, streamId)))
    return unread < 0 ? undefined : unread
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
    const following = new StreamReader(streamId, token, reader, {
      first: () => this.#connection.run(redis => redis.mcpFollowStream(...stream, token, from)),
      next: position => this.#connection.run(redis => redis.mcpReadStream(...stream, token, position)),
      failed: error => { this.#connection.report(error) },
      stopped: taken => {
        this.#remove(sessionId, following)
        if (!taken) this.#connection.run(redis => redis.mcpLeaveStream(stream[2], token)).catch(() => {})
      }
    })
    this.#add(sessionId, following)
    if (!await following.begin()) return undefined
    return {
      position: after ?? formatEventId(streamId, following.position),
      resume () { following.resume() },
      stop () { following.stop() }
    }
  }

  watch (sessionId: string, streamId: string, onFollowed: () => void): () => void {
    let isOver = false
    const missed = () => {
      this.unread(sessionId, streamId).then(
        unread => { if (unread !== undefined && !isOver) onFollowed() },
        (error: unknown) => { this.#connection.report(error) }
      )
    }
    const watcher: Listener = { streamId, wake () {}, followed: onFollowed, missed }
    this.#add(sessionId, watcher)
    return () => {
      isOver = true
      this.#remove(sessionId, watcher)
    }
  }

  async pendingRequests (sessionId: string, streamId: string): Promise<ReadonlyArray<string | number> | undefined> {
    const [,, stream] = this.#stream(sessionId, streamId)
    const fields = await this.#connection.run(redis => redis.hgetall(stream))
    if (fields.bytes === undefined || fields.complete !== undefined) return undefined
    const requestIds: Array<string | number> = parseRecord(fields.requestIds ?? '[]')
    return requestIds.filter(id => fields[ANSWERED + JSON.stringify(id)] === undefined)
  }

  async deleteSession (sessionId: string): Promise<void> {
    const index = this.#index(sessionId)
    await this.#connection.run(redis => redis.mcpDeleteStreams(index, this.#keys.make('logBytes', sessionId), index))
  }

  #add (sessionId: string, listener: Listener): void {
    const session = this.#sessions.get(sessionId)
    if (session !== undefined) {
      session.listeners.add(listener)
      return
    }
    const listeners = new Set([listener])
    let isSubscribed = false
    const unsubscribe = this.#subscriber.subscribe(this.#index(sessionId), message => {
      // all channels come again together
      if (message === undefined && isSubscribed) this.#wakeAll()
      else tell(listeners, message)
      isSubscribed ||= message === undefined
    })
    this.#sessions.set(sessionId, { listeners, unsubscribe })
  }

  #remove (sessionId: string, listener: Listener): void {
    const session = this.#sessions.get(sessionId)
    if (session === undefined || !session.listeners.delete(listener) || session.listeners.size > 0) return
    this.#sessions.delete(sessionId)
    session.unsubscribe()
  }

  /** Wakes all readers, a few at a time: thousands of readings at once would stall the process. */
  #wakeAll (): void {
    this.#reread.hurry().catch((error: unknown) => { this.#connection.report(error) })
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

function toArguments ({ data, isKept = false, answers, isFinal = false, position = 0 }: NewEvent): EventArguments {
  const kind = data === undefined ? 'end' : isFinal ? 'final' : isKept ? 'kept' : ''
  return [data ?? '', kind, answers === undefined ? '' : JSON.stringify(answers), position]
}

/**
 * Hands a message of a session's channel to those it is for: `<stream id> <event id>`; `!<token>` where another has
 * begun to read, `!` where something else has changed. Without a message: some may have been missed.
 */
function tell (listeners: ReadonlySet<Listener>, message?: string): void {
  if (message === undefined) {
    for (const listener of listeners) listener.missed()
    return
  }
  const split = message.lastIndexOf(' ')
  const [streamId, what] = [message.slice(0, split), message.slice(split + 1)]
  for (const listener of listeners) {
    if (streamId !== '*' && streamId !== listener.streamId) continue
    if (what === '!') listener.wake()
    else if (!what.startsWith('!')) listener.wake(what)
    else listener.followed(what.slice(1))
  }
}
