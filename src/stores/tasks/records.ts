/** The states of a task (MCP 2025-11-25, Tasks). */
export type TaskStatus = 'working' | 'input_required' | 'completed' | 'failed' | 'cancelled'

/** What is kept of a task, besides its result and its messages. */
export interface TaskRecord {
  id: string
  status: TaskStatus
  statusMessage?: string
  /** Milliseconds that it is kept, from its creation, and again from its end. */
  ttl: number
  /** Milliseconds between two questions for its status. */
  pollInterval: number
  /** Milliseconds since the epoch. */
  createdAt: number
  lastUpdatedAt: number
  /** Id of the replica whose process works on it; absent: that is not known. */
  runner?: string
}

/** What a task begins with. */
export type NewTask = Pick<TaskRecord, 'id' | 'ttl' | 'pollInterval' | 'runner'>

export interface TaskChange {
  status: TaskStatus
  statusMessage?: string
  /** As JSON. */
  result?: string
}

/**
 * What became of a step: `full`, a bound would be exceeded; `over`, the task has ended, and never changes again. A
 * result that is too large (`full`) fails its task.
 */
export type TaskOutcome = 'done' | 'full' | 'over' | 'unknown'

export interface TaskPage {
  tasks: TaskRecord[]
  /** Where the next page begins, if there is one. */
  next?: number
}

/** Bounds of what is kept. A holder is a session, or a caller without one. */
export interface TaskBounds {
  /** Tasks of one holder, ended ones included. */
  maxOfHolder: number
  /** Bytes of results and waiting messages of one holder. */
  maxBytesOfHolder: number
  /** Messages that wait for one task. */
  maxMessagesOfTask: number
  /** Only in memory, where all share one process: tasks of all holders, and bytes of results and messages. */
  max: number
  maxBytes: number
}

export const TASK_BOUNDS: TaskBounds = {
  maxOfHolder: 200,
  maxBytesOfHolder: 8 * 1024 * 1024,
  maxMessagesOfTask: 100,
  max: 10_000,
  maxBytes: 64 * 1024 * 1024
}

export const TASK_TTL = { defaultMs: 3_600_000, maxMs: 86_400_000 } as const

/** What a task's status says after its result was refused. */
export const RESULT_TOO_LARGE = 'The result is too large to be kept.'

/**
 * Tasks (MCP 2025-11-25, experimental), their results, and the messages that wait for a client to ask for a result.
 * Each belongs to a holder: another one's is unknown. Every step is atomic.
 */
export interface TaskRecords {
  /** Whether all replicas see the same tasks. */
  readonly isShared: boolean
  /** Begins a task, which works. @returns it; undefined: the holder has as many as may be */
  create (holder: string, task: NewTask): Promise<TaskRecord | undefined>
  get (holder: string, id: string): Promise<TaskRecord | undefined>
  /** @returns the result as JSON; undefined: there is none */
  getResult (holder: string, id: string): Promise<string | undefined>
  change (holder: string, id: string, change: TaskChange): Promise<TaskOutcome>
  /** In the order of creation. @param after the `next` of the page before, or 0 */
  list (holder: string, after: number, most: number): Promise<TaskPage>
  /** Adds a message for a task. @param most messages that may wait; never more than the bound */
  enqueue (holder: string, id: string, message: string, most?: number): Promise<TaskOutcome>
  /**
   * Takes messages of a task, the oldest first.
   * @param prefix absent: all are taken; else one, unless the oldest begins with `!` and not with this
   */
  dequeue (holder: string, id: string, prefix?: string): Promise<string[]>
  /** Forgets whatever a holder has. */
  forget (holder: string): Promise<void>
}

export function isOver (status: TaskStatus): boolean {
  return status !== 'working' && status !== 'input_required'
}
