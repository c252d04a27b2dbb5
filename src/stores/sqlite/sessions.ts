import {
  ANONYMOUS_PERSON,
  anonymousShare,
  isAnonymousKey,
  limitKey,
  ownerKey,
  personKey
} from '../../caller.js'
import type { Bus } from '../bus.js'
import {
  applyChange,
  MAX_SESSIONS,
  sessionsFull,
  type SessionBounds,
  type SessionChange,
  type SessionRecord,
  type SessionStore
} from '../sessions.js'
import type { Command, Query, SqliteDatabase } from './database/database.js'
import { text } from './database/text.js'
import { toMs } from './database/expiring-table.js'
import { readRecord } from './json.js'

export interface SqliteSessionStoreOptions {
  /** Life of a session that nobody touches. */
  idleSeconds: number
  /** Learns that a session has ended or changed. */
  bus?: Bus
  /** Sessions kept at all. Default: 100,000. */
  maxSessions?: number | undefined
  /** Milliseconds since the epoch. Default: Date.now. */
  now?: () => number
}

interface Row {
  record: string
  last_seen_at: number
  version: number | null
}

/** The parts of a record that have columns of their own. */
type FixedRecord = Omit<SessionRecord, 'lastSeenAt' | 'version'>

// dropped by one that begins: some milliseconds
const DROPPED_BY_CREATE = 100

/** Session records in a table. */
export class SqliteSessionStore implements SessionStore {
  readonly #database: SqliteDatabase
  readonly #bus: Bus | undefined
  readonly #idleSeconds: number
  readonly #max: number
  readonly #now: () => number
  readonly #sql: ReturnType<typeof prepareSessions>
  /** Numbers the signs of life: the order in which sessions were seen. */
  #seen: number

  constructor (
    database: SqliteDatabase,
    { bus, idleSeconds, maxSessions = MAX_SESSIONS, now = Date.now }: SqliteSessionStoreOptions
  ) {
    this.#database = database
    this.#bus = bus
    this.#idleSeconds = idleSeconds
    this.#max = maxSessions
    this.#now = now
    this.#sql = prepareSessions(database)
    this.#seen = this.#sql.lastSeen()[0]?.seen ?? 0
  }

  /**
   * Begins after another process: what was bound to that one ends, if it was by a connection (HTTP+SSE), and is free
   * otherwise.
   */
  beginAgain (): void {
    this.#database.step(() => {
      this.#sql.endStreamed()
      this.#sql.unbind()
    })
  }

  async create (record: SessionRecord, { perOwner, perPerson }: SessionBounds): Promise<string[]> {
    const [person, owner] = [limitKey(personKey(record.owner)), ownerKey(record.owner)]
    const ended = this.#database.step(() => {
      this.#sql.dropExpired(this.#now())
      const ended = [
        ...this.#dropBeyond(this.#sql.countOfOwner, this.#sql.dropOfOwner, owner, perOwner - 1),
        ...this.#dropBeyond(this.#sql.countOfPerson, this.#sql.dropOfPerson, person, perPerson - 1)
      ]
      if (ended.length === 0) ended.push(...this.#makeRoom(person))
      const { lastSeenAt, version = null, ...fixed } = record
      this.#sql.add(
        record.id,
        record.kind,
        person,
        owner,
        ++this.#seen,
        lastSeenAt,
        this.#endsAt(record.expiresAt, lastSeenAt),
        version,
        JSON.stringify(fixed)
      )
      return ended
    })
    for (const sessionId of ended) await this.#bus?.publish('sessionEnded', { sessionId })
    return ended
  }

  async get (id: string): Promise<SessionRecord | undefined> {
    const [row] = this.#sql.find(id, this.#now())
    return row && toRecord(row)
  }

  async change (id: string, change: SessionChange, origin: string): Promise<number | undefined> {
    const version = this.#database.step(() => {
      const [row] = this.#sql.find(id, this.#now())
      if (row === undefined) return undefined
      const { lastSeenAt, version = 0, ...fixed } = toRecord(row)
      const changed = { ...fixed, lastSeenAt }
      applyChange(changed, change)
      this.#sql.change(JSON.stringify({ ...changed, lastSeenAt: undefined }), version + 1, id)
      return version + 1
    })
    if (version !== undefined) await this.#bus?.publish('sessionChanged', { sessionId: id, origin, version })
    return version
  }

  async touch (id: string, seenAt: number): Promise<boolean> {
    return this.#database.step(() => {
      const [row] = this.#sql.find(id, this.#now())
      if (row === undefined) return false
      const lastSeenAt = Math.max(row.last_seen_at, seenAt)
      const { expiresAt } = readRecord<FixedRecord>(row.record)
      this.#sql.touch(++this.#seen, lastSeenAt, this.#endsAt(expiresAt, lastSeenAt), id)
      return true
    })
  }

  async delete (id: string): Promise<boolean> {
    if (this.#sql.remove(id, this.#now()) === 0) return false
    await this.#bus?.publish('sessionEnded', { sessionId: id })
    return true
  }

  /** Drops the least recently seen sessions of a group until so many are left. @returns their ids */
  #dropBeyond (
    count: Query<{ entries: number }>,
    drop: Query<{ id: string }>,
    key: string,
    most: number
  ): string[] {
    const beyond = readCount(count(key)) - Math.max(0, most)
    return beyond > 0 ? drop(key, beyond).map(({ id }) => id) : []
  }

  /**
   * Makes room for one more session of a person or an address. In a full store the least recently seen one of those
   * with the most ends, if they have more than both would then have. Nobody makes room for who has not logged in, but
   * others like them.
   * @returns the ids of what has ended
   */
  #makeRoom (person: string): string[] {
    const isAnonymous = isAnonymousKey(person)
    const isFull = readCount(this.#sql.countAll()) >= this.#max ||
      (isAnonymous && readCount(this.#sql.countAnonymous()) >= anonymousShare(this.#max))
    if (!isFull) return []
    const own = readCount(this.#sql.countOfPerson(person))
    const [largest] = isAnonymous ? this.#sql.largestAddress() : this.#sql.largest()
    if (largest !== undefined && largest.entries > own + 1) {
      return this.#dropBeyond(this.#sql.countOfPerson, this.#sql.dropOfPerson, largest.person, largest.entries - 1)
    }
    throw sessionsFull(isAnonymous)
  }

  /** Milliseconds since the epoch. */
  #endsAt (expiresAt: number, lastSeenAt: number): number {
    return toMs(Math.min(expiresAt, lastSeenAt + this.#idleSeconds))
  }
}

function prepareSessions (database: SqliteDatabase) {
  const dropOf = (column: 'owner' | 'person') =>
    database.query<{ id: string }>(
      'DELETE FROM sessions WHERE rowid IN ' +
        `(SELECT rowid FROM sessions WHERE ${column} = ? ORDER BY seen LIMIT ?) RETURNING ${text('id')}`
    )
  const commands: Record<'add' | 'change' | 'touch' | 'remove' | 'dropExpired' | 'endStreamed' | 'unbind', Command> = {
    add: database.command(
      'INSERT OR REPLACE INTO sessions (id, kind, person, owner, seen, last_seen_at, ends_at, version, record) ' +
        'VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)'
    ),
    change: database.command('UPDATE sessions SET record = ?, version = ? WHERE id = ?'),
    touch: database.command('UPDATE sessions SET seen = ?, last_seen_at = ?, ends_at = ? WHERE id = ?'),
    remove: database.command('DELETE FROM sessions WHERE id = ? AND ends_at > ?'),
    dropExpired: database.command(
      'DELETE FROM sessions WHERE rowid IN ' +
        `(SELECT rowid FROM sessions WHERE ends_at <= ? ORDER BY ends_at LIMIT ${DROPPED_BY_CREATE})`
    ),
    endStreamed: database.command("DELETE FROM sessions WHERE kind = 'sse'"),
    unbind: database.command(
      "UPDATE sessions SET record = json_remove(record, '$.replicaId') " +
        "WHERE CASE WHEN json_valid(record) THEN json_extract(record, '$.replicaId') IS NOT NULL END"
    )
  }
  return {
    ...commands,
    lastSeen: database.query<{ seen: number | null }>('SELECT max(seen) AS seen FROM sessions'),
    find: database.query<Row>(
      `SELECT ${text('record')}, last_seen_at, version FROM sessions WHERE id = ? AND ends_at > ?`
    ),
    countAll: database.query<{ entries: number }>("SELECT entries FROM totals WHERE counted = 'sessions'"),
    countAnonymous: database.query<{ entries: number }>(
      "SELECT entries FROM totals WHERE counted = 'anonymous sessions'"
    ),
    countOfPerson: database.query<{ entries: number }>(
      "SELECT entries FROM counts WHERE counted = 'sessions' AND in_group = ?"
    ),
    // of one person: few
    countOfOwner: database.query<{ entries: number }>('SELECT count(*) AS entries FROM sessions WHERE owner = ?'),
    dropOfOwner: dropOf('owner'),
    dropOfPerson: dropOf('person'),
    largest: database.query<{ person: string, entries: number }>(
      `SELECT ${text('in_group', 'person')}, entries FROM counts WHERE counted = 'sessions' ` +
        'ORDER BY entries DESC LIMIT 1'
    ),
    largestAddress: database.query<{ person: string, entries: number }>(
      `SELECT ${text('in_group', 'person')}, entries FROM counts WHERE counted = 'sessions' ` +
        `AND substr(in_group, 1, ${ANONYMOUS_PERSON.length}) = '${ANONYMOUS_PERSON}' ORDER BY entries DESC LIMIT 1`
    )
  }
}

function readCount ([row]: ReadonlyArray<{ entries: number }>): number {
  return row?.entries ?? 0
}

function toRecord ({ record, last_seen_at: lastSeenAt, version }: Row): SessionRecord {
  return { ...readRecord<FixedRecord>(record), lastSeenAt, ...version !== null && { version } }
}
