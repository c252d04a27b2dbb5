import { PriorityQueue } from '../../collections/priority-queue.js'
import type { Bus } from '../bus.js'
import { TaskHolders } from '../task-holders.js'
import {
  RESULT_TOO_LARGE,
  TASK_BOUNDS,
  isOver,
  type TaskBounds,
  type TaskChange,
  type TaskOutcome,
  type TaskPage,
  type TaskRecord,
  type TaskRecords
} from '../tasks.js'

export interface MemoryTaskRecordsOptions extends Partial<TaskBounds> {
  /** Milliseconds since the epoch. Default: Date.now. */
  now?: () => number
  /** Says which sessions have ended. */
  bus?: Bus
}

interface Kept {
  record: TaskRecord
  holder: string
  number: number
  result?: string
  messages: string[]
}

const SWEEP_MS = 1000

/** Tasks of a single process. */
export class MemoryTaskRecords implements TaskRecords {
  readonly #bounds: TaskBounds
  readonly #now: () => number
  /** By holder, then by id, in the order of creation. */
  readonly #tasks = new Map<string, Map<string, Kept>>()
  readonly #bytesOf = new Map<string, number>()
  /** The next to expire first. */
  readonly #ends = new PriorityQueue<Kept>()
  readonly #holders: TaskHolders | undefined
  readonly #sweep: NodeJS.Timeout
  #count = 0
  #bytes = 0
  #last = 0

  constructor ({ now = Date.now, bus, ...bounds }: MemoryTaskRecordsOptions = {}) {
    this.#bounds = { ...TASK_BOUNDS, ...bounds }
    this.#now = now
    this.#holders = bus && new TaskHolders(bus, holder => this.forget(holder))
    this.#sweep = setInterval(() => { this.#dropExpired() }, SWEEP_MS).unref()
  }

  async create (
    holder: string,
    task: Pick<TaskRecord, 'id' | 'ttl' | 'pollInterval'>
  ): Promise<TaskRecord | undefined> {
    this.#dropExpired()
    const own = this.#tasks.get(holder) ?? new Map<string, Kept>()
    if (own.size >= this.#bounds.maxOfHolder || this.#count >= this.#bounds.max) return undefined
    const now = this.#now()
    const record: TaskRecord = { ...task, status: 'working', createdAt: now, lastUpdatedAt: now }
    const kept: Kept = { record, holder, number: ++this.#last, messages: [] }
    this.#tasks.set(holder, own.set(task.id, kept))
    this.#ends.set(kept, now + task.ttl)
    this.#count++
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
    if (isOver(record.status)) this.#ends.set(kept, now + record.ttl)
    return fits ? 'done' : 'full'
  }

  async list (holder: string, after: number, most: number): Promise<TaskPage> {
    this.#dropExpired()
    const later = [...this.#tasks.get(holder)?.values() ?? []].filter(({ number }) => number > after)
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

  #find (holder: string, id: string): Kept | undefined {
    this.#dropExpired()
    return this.#tasks.get(holder)?.get(id)
  }

  /** @returns whether there is room for so many bytes more, which are held then */
  #hold (holder: string, bytes: number): boolean {
    const held = (this.#bytesOf.get(holder) ?? 0) + bytes
    if (held > this.#bounds.maxBytesOfHolder || this.#bytes + bytes > this.#bounds.maxBytes) return false
    this.#bytesOf.set(holder, held)
    this.#bytes += bytes
    return true
  }

  #release (holder: string, bytes: number): void {
    const held = (this.#bytesOf.get(holder) ?? 0) - bytes
    if (held > 0) this.#bytesOf.set(holder, held)
    else this.#bytesOf.delete(holder)
    this.#bytes -= bytes
  }

  #dropExpired (): void {
    const now = this.#now()
    for (let kept = this.#ends.takeUpTo(now); kept !== undefined; kept = this.#ends.takeUpTo(now)) this.#remove(kept)
  }

  #remove (kept: Kept): void {
    const { holder, record, result = '', messages } = kept
    const own = this.#tasks.get(holder)
    if (own?.delete(record.id) !== true) return
    if (own.size === 0) this.#tasks.delete(holder)
    this.#ends.delete(kept)
    this.#count--
    this.#release(holder, [result, ...messages].reduce((sum, text) => sum + Buffer.byteLength(text), 0))
  }
}
