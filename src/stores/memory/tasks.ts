import { isAnonymousId } from '../../caller.js'
import { inSlices } from '../../collections/in-slices.js'
import { PriorityQueue } from '../../collections/priority-queue.js'
import type { Bus } from '../bus.js'
import type { Kept } from '../rules/budget.js'
import { fitsInAll } from '../rules/task-room.js'
import { TaskHolders } from '../tasks/holders.js'
import {
  RESULT_TOO_LARGE,
  TASK_BOUNDS,
  isOver,
  type NewTask,
  type TaskBounds,
  type TaskChange,
  type TaskOutcome,
  type TaskPage,
  type TaskRecord,
  type TaskRecords
} from '../tasks/records.js'

export interface MemoryTaskRecordsOptions extends Partial<TaskBounds> {
  /** Milliseconds since the epoch. Default: Date.now. */
  now?: () => number
  /** Says which sessions have ended. */
  bus?: Bus
}

interface KeptTask {
  record: TaskRecord
  holder: string
  number: number
  /** Milliseconds since the epoch. */
  expiresAt: number
  result?: string
  messages: string[]
}

const SWEEP_MS = 1000
// dropped in one turn: some milliseconds
const MAX_DROPPED = 250

/** Tasks of a single process. */
export class MemoryTaskRecords implements TaskRecords {
  readonly isShared = false
  readonly #bounds: TaskBounds
  readonly #now: () => number
  /** By holder, then by id, in the order of creation. */
  readonly #tasks = new Map<string, Map<string, KeptTask>>()
  readonly #bytesOf = new Map<string, number>()
  /** The next to expire first. */
  readonly #ends = new PriorityQueue<KeptTask>()
  readonly #holders: TaskHolders | undefined
  readonly #sweep: NodeJS.Timeout
  readonly #kept = { all: { entries: 0, bytes: 0 }, anonymous: { entries: 0, bytes: 0 } }
  #last = 0

  constructor ({ now = Date.now, bus, ...bounds }: MemoryTaskRecordsOptions = {}) {
    this.#bounds = { ...TASK_BOUNDS, ...bounds }
    this.#now = now
    this.#holders = bus && new TaskHolders(bus, holder => this.forget(holder))
    this.#sweep = setInterval(() => { this.#dropAllExpired().catch(() => {}) }, SWEEP_MS).unref()
  }

  /** Tasks kept, expired ones included until they are dropped. */
  get size (): number {
    return this.#kept.all.entries
  }

  async create (holder: string, task: NewTask): Promise<TaskRecord | undefined> {
    this.#dropExpired()
    this.#current(holder)
    const own = this.#tasks.get(holder) ?? new Map<string, KeptTask>()
    if (own.size >= this.#bounds.maxOfHolder || !this.#fitsInAll(holder, { entries: 1, bytes: 0 })) return undefined
    const now = this.#now()
    const record: TaskRecord = { ...task, status: 'working', createdAt: now, lastUpdatedAt: now }
    const kept: KeptTask = { record, holder, number: ++this.#last, expiresAt: now + task.ttl, messages: [] }
    this.#tasks.set(holder, own.set(task.id, kept))
    this.#ends.set(kept, kept.expiresAt)
    this.#add(holder, 1, 0)
    this.#holders?.add(holder)
    return { ...record }
  }

  async get (holder: string, id: string): Promise<TaskRecord | undefined> {
    const record = this.#find(holder, id)?.record
    return record && { ...record }
  }

  async getResult (holder: string, id: string): Promise<string | undefined> {
    return this.#find(holder, id)?.result
  }

  async change (holder: string, id: string, { status, statusMessage, result }: TaskChange): Promise<TaskOutcome> {
    const kept = this.#find(holder, id)
    if (kept === undefined) return 'unknown'
    const { record } = kept
    if (isOver(record.status)) return 'over'
    const now = this.#now()
    if (statusMessage !== undefined) record.statusMessage = statusMessage
    Object.assign(record, { status, lastUpdatedAt: now })
    const fits = result === undefined || this.#hold(holder, Buffer.byteLength(result))
    if (!fits) Object.assign(record, { status: 'failed', statusMessage: RESULT_TOO_LARGE })
    else if (result !== undefined) kept.result = result
    if (isOver(record.status)) this.#ends.set(kept, kept.expiresAt = now + record.ttl)
    return fits ? 'done' : 'full'
  }

  async list (holder: string, after: number, most: number): Promise<TaskPage> {
    const later = this.#current(holder).filter(({ number }) => number > after)
    const page = later.slice(0, most)
    const last = page.at(-1)
    return {
      tasks: page.map(({ record }) => ({ ...record })),
      ...last !== undefined && later.length > most && { next: last.number }
    }
  }

  async enqueue (holder: string, id: string, message: string, most = Infinity): Promise<TaskOutcome> {
    const kept = this.#find(holder, id)
    if (kept === undefined) return 'unknown'
    if (kept.messages.length >= Math.min(most, this.#bounds.maxMessagesOfTask)) return 'full'
    if (!this.#hold(holder, Buffer.byteLength(message))) return 'full'
    kept.messages.push(message)
    return 'done'
  }

  async dequeue (holder: string, id: string, prefix?: string): Promise<string[]> {
    const messages = this.#find(holder, id)?.messages
    const [first] = messages ?? []
    if (messages === undefined || first === undefined) return []
    if (prefix !== undefined && first.startsWith('!') && !first.startsWith(prefix)) return []
    const taken = messages.splice(0, prefix === undefined ? messages.length : 1)
    this.#release(holder, taken.reduce((sum, message) => sum + Buffer.byteLength(message), 0))
    return taken
  }

  async forget (holder: string): Promise<void> {
    for (const kept of this.#tasks.get(holder)?.values() ?? []) this.#remove(kept)
  }

  /** Stops the housekeeping. */
  close (): void {
    clearInterval(this.#sweep)
  }

  #find (holder: string, id: string): KeptTask | undefined {
    const kept = this.#tasks.get(holder)?.get(id)
    return kept !== undefined && this.#isCurrent(kept) ? kept : undefined
  }

  /** A holder's tasks, which are few; those that have expired make room. */
  #current (holder: string): KeptTask[] {
    return [...this.#tasks.get(holder)?.values() ?? []].filter(kept => this.#isCurrent(kept))
  }

  /** Whether a task has not expired; it goes if it has. */
  #isCurrent (kept: KeptTask): boolean {
    if (this.#now() < kept.expiresAt) return true
    this.#remove(kept)
    return false
  }

  /** @returns whether there is room for so many bytes more, which are held then */
  #hold (holder: string, bytes: number): boolean {
    if (!this.#fits(holder, bytes)) {
      this.#current(holder)
      this.#dropExpired()
      if (!this.#fits(holder, bytes)) return false
    }
    const held = (this.#bytesOf.get(holder) ?? 0) + bytes
    this.#bytesOf.set(holder, held)
    this.#add(holder, 0, bytes)
    return true
  }

  #fits (holder: string, bytes: number): boolean {
    const held = this.#bytesOf.get(holder) ?? 0
    return held + bytes <= this.#bounds.maxBytesOfHolder && this.#fitsInAll(holder, { entries: 0, bytes })
  }

  #fitsInAll (holder: string, more: Kept): boolean {
    return fitsInAll(this.#bounds, this.#kept, holder, more)
  }

  #add (holder: string, tasks: number, bytes: number): void {
    const { all, anonymous } = this.#kept
    for (const counted of isAnonymousId(holder) ? [all, anonymous] : [all]) {
      counted.entries += tasks
      counted.bytes += bytes
    }
  }

  #release (holder: string, bytes: number): void {
    const held = (this.#bytesOf.get(holder) ?? 0) - bytes
    if (held > 0) this.#bytesOf.set(holder, held)
    else this.#bytesOf.delete(holder)
    this.#add(holder, 0, -bytes)
  }

  /** Drops all that has expired, some in each turn. */
  async #dropAllExpired (): Promise<void> {
    await inSlices(this.#expired(), kept => { this.#remove(kept) }, { size: MAX_DROPPED })
  }

  /** Drops some of what has expired. */
  #dropExpired (): void {
    let dropped = 0
    for (const kept of this.#expired()) {
      this.#remove(kept)
      if (++dropped === MAX_DROPPED) return
    }
  }

  /** Takes what has expired out of the queue. */
  * #expired (): Iterable<KeptTask> {
    for (let kept = this.#next(); kept !== undefined; kept = this.#next()) yield kept
  }

  #next (): KeptTask | undefined {
    return this.#ends.takeUpTo(this.#now())
  }

  #remove (kept: KeptTask): void {
    const { holder, record, result = '', messages } = kept
    const own = this.#tasks.get(holder)
    if (own?.delete(record.id) !== true) return
    if (own.size === 0) this.#tasks.delete(holder)
    this.#ends.delete(kept)
    this.#add(holder, -1, 0)
    this.#release(holder, [result, ...messages].reduce((sum, text) => sum + Buffer.byteLength(text), 0))
  }
}
