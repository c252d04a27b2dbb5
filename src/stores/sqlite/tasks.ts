import type { Bus } from '../bus.js'
import type { Kept } from '../rules/budget.js'
import { fitsInAll, type KeptOfAll } from '../rules/task-room.js'
import { TaskHolders } from '../tasks/holders.js'
import {
  isOver,
  RESULT_TOO_LARGE,
  TASK_BOUNDS,
  type NewTask,
  type TaskBounds,
  type TaskChange,
  type TaskOutcome,
  type TaskPage,
  type TaskRecord,
  type TaskRecords
} from '../tasks/records.js'
import type { SqliteDatabase } from './database/database.js'
import { text } from './database/text.js'
import { readRecord } from './json.js'

export interface SqliteTaskRecordsOptions extends Partial<TaskBounds> {
  /** Milliseconds since the epoch. Default: Date.now. */
  now?: () => number
  /** Says which sessions have ended. */
  bus?: Bus
}

interface Row {
  number: number
  record: string
}

const NOTHING: Kept = { entries: 0, bytes: 0 }
const MAX_DROPPED = 100

/** Tasks in tables: with their holder, they outlive the process, which has then failed those that it ran. */
export class SqliteTaskRecords implements TaskRecords {
  readonly isShared = false
  readonly #database: SqliteDatabase
  readonly #bounds: TaskBounds
  readonly #now: () => number
  readonly #holders: TaskHolders | undefined
  readonly #sql: ReturnType<typeof prepareTasks>

  constructor (database: SqliteDatabase, { now = Date.now, bus, ...bounds }: SqliteTaskRecordsOptions = {}) {
    this.#database = database
    this.#bounds = { ...TASK_BOUNDS, ...bounds }
    this.#now = now
    this.#sql = prepareTasks(database)
    this.#holders = bus && new TaskHolders(bus, holder => this.forget(holder))
    for (const { holder } of this.#sql.holders()) this.#holders?.add(holder)
  }

  async create (holder: string, task: NewTask): Promise<TaskRecord | undefined> {
    const record = this.#database.step(() => {
      this.#dropExpired(holder)
      const { entries } = this.#sql.countOf(holder)[0] ?? NOTHING
      if (entries >= this.#bounds.maxOfHolder || !this.#fitsInAll(holder, { entries: 1, bytes: 0 })) return undefined
      const now = this.#now()
      const record: TaskRecord = { ...task, status: 'working', createdAt: now, lastUpdatedAt: now }
      this.#sql.add(holder, task.id, now + task.ttl, JSON.stringify(record))
      return record
    })
    if (record !== undefined) this.#holders?.add(holder)
    return record
  }

  async get (holder: string, id: string): Promise<TaskRecord | undefined> {
    const row = this.#find(holder, id)
    return row && readRecord<TaskRecord>(row.record)
  }

  async getResult (holder: string, id: string): Promise<string | undefined> {
    return this.#sql.findResult(holder, id, this.#now())[0]?.result ?? undefined
  }

  async change (holder: string, id: string, { status, statusMessage, result }: TaskChange): Promise<TaskOutcome> {
    return this.#database.step(() => {
      const row = this.#find(holder, id)
      if (row === undefined) return 'unknown'
      const before = readRecord<TaskRecord>(row.record)
      if (isOver(before.status)) return 'over'
      const now = this.#now()
      const fits = result === undefined || this.#hold(holder, row.number, Buffer.byteLength(result))
      const record: TaskRecord = {
        ...before,
        ...statusMessage !== undefined && { statusMessage },
        status,
        lastUpdatedAt: now,
        ...!fits && { status: 'failed', statusMessage: RESULT_TOO_LARGE }
      }
      this.#sql.change(JSON.stringify(record), row.number)
      if (fits && result !== undefined) this.#sql.setResult(result, row.number)
      if (isOver(record.status)) this.#sql.setEnd(now + record.ttl, row.number)
      return fits ? 'done' : 'full'
    })
  }

  async list (holder: string, after: number, most: number): Promise<TaskPage> {
    const rows = this.#sql.list(holder, after, this.#now(), most + 1)
    const page = rows.slice(0, most)
    const last = page.at(-1)
    return {
      tasks: page.map(({ record }) => readRecord<TaskRecord>(record)),
      ...last !== undefined && rows.length > most && { next: last.number }
    }
  }

  async enqueue (holder: string, id: string, message: string, most = Infinity): Promise<TaskOutcome> {
    return this.#database.step(() => {
      const row = this.#find(holder, id)
      if (row === undefined) return 'unknown'
      const waiting = this.#sql.countMessages(row.number)[0]?.count ?? 0
      if (waiting >= Math.min(most, this.#bounds.maxMessagesOfTask)) return 'full'
      if (!this.#hold(holder, row.number, Buffer.byteLength(message))) return 'full'
      this.#sql.addMessage(row.number, message)
      return 'done'
    })
  }

  async dequeue (holder: string, id: string, prefix?: string): Promise<string[]> {
    return this.#database.step(() => {
      const row = this.#find(holder, id)
      const messages = row === undefined ? [] : this.#sql.messages(row.number, prefix === undefined ? -1 : 1)
      const [first] = messages
      if (row === undefined || first === undefined) return []
      if (prefix !== undefined && first.message.startsWith('!') && !first.message.startsWith(prefix)) return []
      for (const { number } of messages) this.#sql.removeMessage(number)
      const taken = messages.map(({ message }) => message)
      this.#sql.addBytes(-taken.reduce((sum, message) => sum + Buffer.byteLength(message), 0), row.number)
      return taken
    })
  }

  async forget (holder: string): Promise<void> {
    this.#sql.forget(holder)
  }

  #find (holder: string, id: string): Row | undefined {
    return this.#sql.find(holder, id, this.#now())[0]
  }

  /** @returns whether there is room for so many bytes more, which are counted for the task then */
  #hold (holder: string, number: number, bytes: number): boolean {
    if (!this.#fits(holder, bytes)) {
      this.#dropExpired(holder)
      if (!this.#fits(holder, bytes)) return false
    }
    this.#sql.addBytes(bytes, number)
    return true
  }

  #fits (holder: string, bytes: number): boolean {
    const own = this.#sql.countOf(holder)[0] ?? NOTHING
    return own.bytes + bytes <= this.#bounds.maxBytesOfHolder && this.#fitsInAll(holder, { entries: 0, bytes })
  }

  #fitsInAll (holder: string, more: Kept): boolean {
    const sql = this.#sql
    const kept: KeptOfAll = {
      get all () { return sql.countAll()[0] ?? NOTHING },
      get anonymous () { return sql.countAnonymous()[0] ?? NOTHING }
    }
    return fitsInAll(this.#bounds, kept, holder, more)
  }

  /** Drops what has expired of a holder, and some of the others. */
  #dropExpired (holder: string): void {
    this.#sql.dropExpiredOf(holder, this.#now())
    this.#sql.dropExpired(this.#now())
  }
}

function prepareTasks (database: SqliteDatabase) {
  const ofTask = 'FROM tasks WHERE holder = ? AND id = ? AND ends_at > ?'
  return {
    holders: database.query<{ holder: string }>(`SELECT ${text('holder')} FROM tasks GROUP BY holder`),
    add: database.command('INSERT OR REPLACE INTO tasks (holder, id, ends_at, record) VALUES (?, ?, ?, ?)'),
    find: database.query<Row>(`SELECT number, ${text('record')} ${ofTask}`),
    findResult: database.query<{ result: string | null }>(`SELECT ${text('result')} ${ofTask}`),
    change: database.command('UPDATE tasks SET record = ? WHERE number = ?'),
    setResult: database.command('UPDATE tasks SET result = ? WHERE number = ?'),
    setEnd: database.command('UPDATE tasks SET ends_at = ? WHERE number = ?'),
    addBytes: database.command('UPDATE tasks SET bytes = bytes + ? WHERE number = ?'),
    list: database.query<Row>(
      `SELECT number, ${text('record')} FROM tasks ` +
        'WHERE holder = ? AND number > ? AND ends_at > ? ORDER BY number LIMIT ?'
    ),
    forget: database.command('DELETE FROM tasks WHERE holder = ?'),
    dropExpiredOf: database.command('DELETE FROM tasks WHERE holder = ? AND ends_at <= ?'),
    dropExpired: database.command(
      'DELETE FROM tasks WHERE number IN ' +
        `(SELECT number FROM tasks WHERE ends_at <= ? ORDER BY ends_at LIMIT ${MAX_DROPPED})`
    ),
    countOf: database.query<Kept>("SELECT entries, bytes FROM counts WHERE counted = 'tasks' AND in_group = ?"),
    countAll: database.query<Kept>("SELECT entries, bytes FROM totals WHERE counted = 'tasks'"),
    countAnonymous: database.query<Kept>("SELECT entries, bytes FROM totals WHERE counted = 'anonymous tasks'"),
    addMessage: database.command('INSERT INTO task_messages (task, message) VALUES (?, ?)'),
    countMessages: database.query<{ count: number }>('SELECT count(*) AS count FROM task_messages WHERE task = ?'),
    messages: database.query<{ number: number, message: string }>(
      `SELECT number, ${text('message')} FROM task_messages WHERE task = ? ORDER BY number LIMIT ?`
    ),
    removeMessage: database.command('DELETE FROM task_messages WHERE number = ?')
  }
}
