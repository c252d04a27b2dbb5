import { createHash } from 'node:crypto'
import { ANONYMOUS_ISSUER, anonymousShare, isAnonymous, limitKey, personKey, type Owner } from '../../caller.js'
import {
  MAX_SESSIONS,
  sessionsFull,
  type SessionBounds,
  type SessionChange,
  type SessionRecord,
  type SessionStore
} from '../sessions.js'
import type { RedisBus } from './bus/bus.js'
import type { RedisConnection } from './connection/connection.js'
import type { KeyMaker } from './keys.js'
import { CLIENT_LENGTH, sessionScripts, type SessionOperation } from './scripts/sessions.js'
import { parseRecord } from '../../parse-record.js'

export interface RedisSessionStoreOptions {
  /** Life of a session that nobody touches. */
  idleSeconds: number
  /** Callers who have not logged in may have half as many sessions, all together. Default: 100,000. */
  maxSessions?: number | undefined
}

/**
 * Session records of all replicas. A person's sessions have the person as hash tag, so that one script counts and
 * ends them; a session is found by a pointer from its id to its person and client. All callers who have not logged in
 * are one person here, and their addresses its clients.
 */
export class RedisSessionStore implements SessionStore {
  readonly #connection: RedisConnection
  readonly #keys: KeyMaker
  readonly #bus: RedisBus
  readonly #idleSeconds: number
  /** Sessions of callers who have not logged in. */
  readonly #share: number

  constructor (
    connection: RedisConnection,
    keys: KeyMaker,
    bus: RedisBus,
    { idleSeconds, maxSessions = MAX_SESSIONS }: RedisSessionStoreOptions
  ) {
    this.#connection = connection
    this.#keys = keys
    this.#bus = bus
    this.#idleSeconds = idleSeconds
    this.#share = anonymousShare(maxSessions)
    connection.define(sessionScripts)
  }

  async create (record: SessionRecord, { perOwner, perPerson }: SessionBounds): Promise<string[]> {
    const { id, lastSeenAt, owner } = record
    const place = makePlace(owner)
    const isOfAnonymous = isAnonymous(owner)
    const [sessions, key] = this.#placeKeys(place, id)
    const untilMs = Math.max(1, Math.ceil((lastSeenAt + this.#idleSeconds) * 1000))
    const [, ended] = await Promise.all([
      this.#connection.run(redis => redis.set(this.#pointer(id), place.person + place.client, 'PXAT', untilMs)),
      this.#connection.run(redis => redis.mcpCreateSession(
        sessions,
        key,
        place.client + id,
        isOfAnonymous ? perPerson : perOwner,
        perPerson,
        this.#idleSeconds,
        ...this.#bus.announcement('sessionEnded', {}),
        isOfAnonymous ? this.#share : 0,
        ...toFields(record)
      ))
    ])
    if (ended === null) {
      await this.#connection.run(redis => redis.del(this.#pointer(id)))
      throw sessionsFull(true)
    }
    for (const sessionId of ended) this.#bus.announced('sessionEnded', { sessionId })
    return ended
  }

  async get (id: string): Promise<SessionRecord | undefined> {
    const place = await this.#find(id)
    return place && toRecord(await this.#connection.run(redis => redis.hgetall(this.#placeKeys(place, id)[1])))
  }

  async change (id: string, change: SessionChange, origin: string): Promise<number | undefined> {
    const place = await this.#find(id)
    if (place === undefined) return undefined
    const version = await this.#connection.run(redis =>
      redis.mcpChangeSession(
        this.#placeKeys(place, id)[1],
        ...this.#bus.announcement('sessionChanged', { sessionId: id, origin }),
        ...toOperation(change)
      )
    )
    if (version === null) return undefined
    this.#bus.announced('sessionChanged', { sessionId: id, origin, version })
    return version
  }

  async touch (id: string, seenAt: number): Promise<boolean> {
    const untilMs = Math.ceil((seenAt + this.#idleSeconds) * 1000)
    const place = toPlace(
      await this.#connection.run(redis => redis.mcpExtendSessionPointer(this.#pointer(id), untilMs))
    )
    if (place === undefined) return false
    const [sessions, record] = this.#placeKeys(place, id)
    return await this.#connection.run(redis =>
      redis.mcpTouchSession(sessions, record, place.client + id, this.#idleSeconds, seenAt)
    ) === 1
  }

  async delete (id: string): Promise<boolean> {
    const place = await this.#find(id)
    if (place === undefined) return false
    const [sessions, record] = this.#placeKeys(place, id)
    const deleted = await this.#connection.run(redis =>
      redis.mcpDeleteSession(
        sessions,
        record,
        place.client + id,
        ...this.#bus.announcement('sessionEnded', { sessionId: id })
      )
    )
    if (deleted === 1) this.#bus.announced('sessionEnded', { sessionId: id })
    await this.#connection.run(redis => redis.del(this.#pointer(id)))
    return deleted === 1
  }

  #pointer (id: string): string {
    return this.#keys.make('sessionPointer', id)
  }

  async #find (id: string): Promise<Place | undefined> {
    return toPlace(await this.#connection.run(redis => redis.get(this.#pointer(id))))
  }

  /** The person's sessions, and this one's record. */
  #placeKeys ({ person }: Place, id: string): [string, string] {
    return [this.#keys.make('sessions', person), this.#keys.make('session', person, id)]
  }
}

/** Hashes of whose a session is. */
interface Place {
  person: string
  client: string
}

function makePlace (owner: Owner): Place {
  const counted = limitKey(personKey(owner))
  return isAnonymous(owner)
    ? { person: shortHash(ANONYMOUS_ISSUER), client: shortHash(counted) }
    : { person: shortHash(counted), client: shortHash(owner.clientId) }
}

function toPlace (pointer: string | null): Place | undefined {
  return pointer === null
    ? undefined
    : { person: pointer.slice(0, -CLIENT_LENGTH), client: pointer.slice(-CLIENT_LENGTH) }
}

function shortHash (text: string): string {
  return createHash('sha256').update(text).digest('base64url').slice(0, CLIENT_LENGTH)
}

// what changes has a field of its own; subscriptions are counted, which keeps their order
function toFields ({ subscriptions, lastSeenAt, version, replicaId, ...record }: SessionRecord): string[] {
  return [
    'record', JSON.stringify(record), 'lastSeenAt', String(lastSeenAt), 'expiresAt', String(record.expiresAt),
    ...replicaId === undefined ? [] : ['replicaId', replicaId],
    ...version === undefined ? [] : ['version', String(version)],
    ...subscriptions.length === 0 ? [] : ['subscribed', String(subscriptions.length)],
    ...subscriptions.flatMap((uri, index) => [`uri:${uri}`, String(index + 1)])
  ]
}

function toOperation (change: SessionChange): [SessionOperation, ...string[]] {
  if ('subscribe' in change) return ['subscribe', change.subscribe]
  if ('unsubscribe' in change) return ['unsubscribe', change.unsubscribe]
  if ('logLevel' in change) return ['set', 'logLevel', change.logLevel]
  if ('access' in change) return ['set', 'access', change.access]
  if ('movesTo' in change) return ['move', change.movesTo, change.from ?? '']
  if ('initialized' in change) return ['set', 'initialized', '1']
  return ['set', 'initialize', JSON.stringify(change)]
}

function toRecord (fields: Record<string, string>): SessionRecord | undefined {
  if (fields.record === undefined) return undefined
  const { initialize = '{}', initialized, logLevel, access, replicaId } = fields
  return {
    ...parseRecord<SessionRecord>(fields.record),
    ...parseRecord<Pick<SessionRecord, 'initializeParams' | 'protocolVersion'>>(initialize),
    ...initialized !== undefined && { initialized: true },
    ...logLevel !== undefined && { logLevel },
    ...access !== undefined && { access },
    ...replicaId !== undefined && { replicaId },
    subscriptions: Object.entries(fields).filter(([field]) => field.startsWith('uri:')).sort(([, a], [, b]) =>
      Number(a) - Number(b)
    ).map(([field]) => field.slice(4)),
    ...fields.version !== undefined && { version: Number(fields.version) },
    lastSeenAt: Number(fields.lastSeenAt)
  }
}
