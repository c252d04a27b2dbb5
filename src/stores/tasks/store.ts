import { randomBytes } from 'node:crypto'
import { jsonRpcCodes } from '../../json-rpc-codes.js'
import { parseRecord } from '../../parse-record.js'
import type { Stores } from '../stores.js'
import { isOver, RESULT_TOO_LARGE, TASK_TTL, type TaskChange, type TaskRecord, type TaskRecords } from './records.js'
import { PROCESS_ENDED, taskRuns } from './runs.js'
import { checkStep, notFound, TASK_ID, TaskError } from './steps.js'

/** A task as clients see it (MCP 2025-11-25, Tasks). */
interface Task {
  taskId: string
  status: TaskRecord['status']
  statusMessage?: string
  ttl: number
  createdAt: string
  lastUpdatedAt: string
  pollInterval: number
}

type Result = Record<string, unknown>

/**
 * The `TaskStore` of `@modelcontextprotocol/sdk` 1.x, described here because that SDK need not be installed.
 * @example
 * ```ts
 * import { createMemoryStores, createTaskStore, type TaskStore } from 'fastify-mcp-oauth'
 *
 * export const taskStore: TaskStore = createTaskStore(createMemoryStores({ sessionIdleSeconds: 3600 }))
 * ```
 */
export interface TaskStore {
  /** Begins a task. `ttl` and `pollInterval` are milliseconds. Rejects if as many are kept as may be. */
  createTask (
    options: { ttl?: number | null, pollInterval?: number },
    requestId: string | number,
    request: object,
    sessionId?: string
  ): Promise<Task>
  /** null if the session has no such task. */
  getTask (taskId: string, sessionId?: string): Promise<Task | null>
  /** Ends a task with its result. Rejects if it is unknown, has ended, or the result is too large: then it fails. */
  storeTaskResult (
    taskId: string,
    status: 'completed' | 'failed',
    result: Result,
    sessionId?: string
  ): Promise<void>
  /** The result of a task that has ended. Rejects if there is none. */
  getTaskResult (taskId: string, sessionId?: string): Promise<Result>
  /** Changes the status of a task. Rejects if it is unknown, or has ended. */
  updateTaskStatus (
    taskId: string,
    status: Task['status'],
    statusMessage?: string,
    sessionId?: string
  ): Promise<void>
  /** A page of the session's tasks. Rejects if `cursor` is not the `nextCursor` of another page. */
  listTasks (cursor?: string, sessionId?: string): Promise<{ tasks: Task[], nextCursor?: string }>
}

const PAGE_SIZE = 20
const POLL_INTERVAL = { defaultMs: 1000, maxMs: 60_000 } as const
const MAX_STATUS_MESSAGE_LENGTH = 1000
const CURSOR = /^\d{1,15}$/

/**
 * Options of `createTaskStore`.
 * @example
 * ```ts
 * import { createMemoryStores, createTaskStore, type TaskStoreOptions } from 'fastify-mcp-oauth'
 *
 * // a job queue does the work
 * const options: TaskStoreOptions = { runsElsewhere: true }
 * export const taskStore = createTaskStore(createMemoryStores({ sessionIdleSeconds: 3600 }), options)
 * ```
 */
export interface TaskStoreOptions {
  /**
   * Whether something else than the process that creates a task works on it, such as the workers of a job queue. Then
   * the end of that process does not fail the task. Default: false.
   */
  runsElsewhere?: boolean
}

const keptIn = new WeakMap<object, TaskRecords>()

/**
 * Makes the `taskStore` of servers of SDK 1.x: any replica that has the same Redis finds the tasks, and they outlive
 * the process that made them. A task is its session's (without one, its caller's), is kept for its `ttl` (an hour by
 * default, a day at most) from its creation and again from its end, and never changes once it has ended. If the process
 * that created it ends before, it fails. Make it once, outside of `createServer`.
 * @example
 * ```ts
 * import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js'
 * import { createRedisStores, createTaskStore, type CreateServer } from 'fastify-mcp-oauth'
 *
 * const capabilities = { tasks: { list: {}, cancel: {}, requests: { tools: { call: {} } } } }
 * export const stores = createRedisStores({ url: 'rediss://redis.example.com:6379', sessionIdleSeconds: 3600 })
 * const taskStore = createTaskStore(stores)
 *
 * export const createServer: CreateServer = () =>
 *   new McpServer({ name: 'reports', version: '1.0.0' }, { taskStore, capabilities })
 * ```
 */
export function createTaskStore (
  { tasks }: Pick<Stores, 'tasks'>,
  { runsElsewhere = false }: TaskStoreOptions = {}
): TaskStore {
  const store = new KeptTasks(tasks, runsElsewhere)
  keptIn.set(store, tasks)
  return store
}

/** Where a task store keeps its tasks; undefined if `createTaskStore` has not made it. */
export function findTaskRecords (store: object): TaskRecords | undefined {
  return keptIn.get(store)
}

class KeptTasks implements TaskStore {
  readonly #tasks: TaskRecords
  readonly #runsElsewhere: boolean

  constructor (tasks: TaskRecords, runsElsewhere: boolean) {
    this.#tasks = tasks
    this.#runsElsewhere = runsElsewhere
  }

  async createTask (
    { ttl, pollInterval }: { ttl?: number | null, pollInterval?: number },
    _requestId: string | number,
    _request: object,
    sessionId = ''
  ): Promise<Task> {
    const runner = this.#runsElsewhere ? undefined : taskRuns.findRunner(this.#tasks)
    const task = await this.#tasks.create(sessionId, {
      id: randomBytes(16).toString('hex'),
      ttl: within(ttl, TASK_TTL),
      pollInterval: within(pollInterval, POLL_INTERVAL),
      ...runner !== undefined && { runner }
    })
    if (task === undefined) {
      throw new TaskError(
        'There are as many tasks as may be kept. Try again when some have expired.',
        jsonRpcCodes.serverError
      )
    }
    if (runner !== undefined) {
      const expiresAt = performance.now() + task.ttl
      taskRuns.begun(task.id, { tasks: this.#tasks, holder: sessionId, runner, expiresAt })
    }
    return toTask(task)
  }

  async getTask (taskId: string, sessionId = ''): Promise<Task | null> {
    const found = await this.#find(sessionId, taskId)
    return found === undefined ? null : toTask(found)
  }

  async storeTaskResult (
    taskId: string,
    status: 'completed' | 'failed',
    result: Result,
    sessionId = ''
  ): Promise<void> {
    await this.#change(
      sessionId,
      taskId,
      { status, result: JSON.stringify(result) },
      `the task ${taskId} has failed. ${RESULT_TOO_LARGE}`
    )
  }

  async getTaskResult (taskId: string, sessionId = ''): Promise<Result> {
    const [task, result] = TASK_ID.test(taskId)
      ? await Promise.all([this.#find(sessionId, taskId), this.#tasks.getResult(sessionId, taskId)])
      : []
    if (result !== undefined) return parseRecord<Result>(result)
    if (task === undefined) throw notFound(taskId)
    const { status, statusMessage = 'There is none.' } = task
    throw new TaskError(
      `The task ${taskId} (${status}) has no result: ${statusMessage}`,
      status === 'failed' ? jsonRpcCodes.serverError : jsonRpcCodes.invalidParams
    )
  }

  async updateTaskStatus (
    taskId: string,
    status: Task['status'],
    statusMessage?: string,
    sessionId = ''
  ): Promise<void> {
    const message = statusMessage?.slice(0, MAX_STATUS_MESSAGE_LENGTH)
    await this.#change(sessionId, taskId, { status, ...message !== undefined && { statusMessage: message } })
  }

  async listTasks (cursor?: string, sessionId = ''): Promise<{ tasks: Task[], nextCursor?: string }> {
    if (cursor !== undefined && !CURSOR.test(cursor)) throw new TaskError('The cursor is not one of this list.')
    const { tasks, next } = await this.#tasks.list(sessionId, Number(cursor ?? 0), PAGE_SIZE)
    const now = await Promise.all(tasks.map(task => this.#settle(sessionId, task)))
    return {
      tasks: now.filter(task => task !== undefined).map(toTask),
      ...next !== undefined && { nextCursor: String(next) }
    }
  }

  async #find (holder: string, id: string): Promise<TaskRecord | undefined> {
    const found = TASK_ID.test(id) ? await this.#tasks.get(holder, id) : undefined
    return found && await this.#settle(holder, found)
  }

  /** Fails a task whose process has ended. @returns the task as it is then */
  async #settle (holder: string, task: TaskRecord): Promise<TaskRecord | undefined> {
    const { id, runner, status } = task
    if (runner === undefined || isOver(status) || await taskRuns.isAlive(this.#tasks, runner)) return task
    // only if it has not ended meanwhile
    await this.#tasks.change(holder, id, { status: 'failed', statusMessage: PROCESS_ENDED })
    return await this.#tasks.get(holder, id)
  }

  /** @param full says what a bound has refused */
  async #change (holder: string, id: string, change: TaskChange, full?: string): Promise<void> {
    const outcome = TASK_ID.test(id) ? await this.#tasks.change(holder, id, change) : 'unknown'
    if (outcome !== 'unknown' && (outcome !== 'done' || isOver(change.status))) taskRuns.over(id)
    checkStep(id, outcome, full)
  }
}

/** @returns whole milliseconds, 1 at least */
function within (
  asked: number | null | undefined,
  { defaultMs, maxMs }: { defaultMs: number, maxMs: number }
): number {
  if (typeof asked !== 'number' || Number.isNaN(asked)) return defaultMs
  return Math.max(1, Math.min(Math.ceil(asked), maxMs))
}

function toTask ({ id, runner: _runner, createdAt, lastUpdatedAt, ...rest }: TaskRecord): Task {
  return {
    taskId: id,
    ...rest,
    createdAt: new Date(createdAt).toISOString(),
    lastUpdatedAt: new Date(lastUpdatedAt).toISOString()
  }
}
