import { randomBytes, randomUUID } from 'node:crypto'
import type {
  JSONRPCErrorResponse,
  JSONRPCNotification,
  JSONRPCRequest,
  JSONRPCResultResponse
} from '@modelcontextprotocol/server'
import { jsonRpcCodes } from '../json-rpc-codes.js'
import { parseRecord } from '../parse-record.js'
import type { Stores } from './stores.js'
import { RESULT_TOO_LARGE, TASK_TTL, type TaskOutcome, type TaskRecord, type TaskRecords } from './tasks.js'

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

type QueuedMessage =
  | { type: 'request', timestamp: number, message: JSONRPCRequest }
  | { type: 'notification', timestamp: number, message: JSONRPCNotification }
  | { type: 'response', timestamp: number, message: JSONRPCResultResponse }
  | { type: 'error', timestamp: number, message: JSONRPCErrorResponse }

/**
 * The `TaskMessageQueue` of `@modelcontextprotocol/sdk` 1.x.
 * @example
 * ```ts
 * import { createMemoryStores, createTaskMessageQueue, type TaskMessageQueue } from 'fastify-mcp-oauth'
 *
 * const stores = createMemoryStores({ sessionIdleSeconds: 3600 })
 * export const taskMessageQueue: TaskMessageQueue = createTaskMessageQueue(stores)
 * ```
 */
export interface TaskMessageQueue {
  /** Adds a message for the client. Rejects if the task is unknown, or too many messages wait (`maxSize`). */
  enqueue (taskId: string, message: QueuedMessage, sessionId?: string, maxSize?: number): Promise<void>
  /** Takes the oldest message; undefined if none waits, or it is a request of another process. */
  dequeue (taskId: string, sessionId?: string): Promise<QueuedMessage | undefined>
  /** Takes all messages that wait, oldest first, and returns those that are for this process. */
  dequeueAll (taskId: string, sessionId?: string): Promise<QueuedMessage[]>
}

const PAGE_SIZE = 20
const POLL_INTERVAL = { defaultMs: 1000, maxMs: 60_000 } as const
const MAX_STATUS_MESSAGE_LENGTH = 1000
const ID = /^[\w-]{1,64}$/
const CURSOR = /^\d{1,15}$/
const BOUND_REACHED = 'its session has as many results and messages as may be kept. Try again when tasks have expired.'

/** A refusal, with the JSON-RPC code that the SDK responds with. */
class TaskError extends Error {
  override readonly name = 'TaskError'
  readonly code: number

  constructor (message: string, code: number = jsonRpcCodes.invalidParams) {
    super(message)
    this.code = code
  }
}

/**
 * Makes the `taskStore` of servers of SDK 1.x: any replica that has the same Redis finds the tasks, and they outlive
 * the process that made them. A task is its session's (without one, its caller's), is kept for its `ttl` (an hour by
 * default, a day at most) from its creation and again from its end, and never changes once it has ended. Make it once,
 * outside of `createServer`.
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
export function createTaskStore ({ tasks }: Pick<Stores, 'tasks'>): TaskStore {
  return new KeptTasks(tasks)
}

/**
 * Makes the `taskMessageQueue` of servers of SDK 1.x, for the tasks of `createTaskStore`. Any replica gives a client
 * the notifications of a task; a request to the client only the process that made it, which alone takes the answer.
 * Make it once, outside of `createServer`.
 * @example
 * ```ts
 * import { createMemoryStores, createTaskMessageQueue } from 'fastify-mcp-oauth'
 *
 * export const taskMessageQueue = createTaskMessageQueue(createMemoryStores({ sessionIdleSeconds: 3600 }))
 * ```
 */
export function createTaskMessageQueue ({ tasks }: Pick<Stores, 'tasks'>): TaskMessageQueue {
  return new KeptTaskMessages(tasks)
}

class KeptTasks implements TaskStore {
  readonly #tasks: TaskRecords

  constructor (tasks: TaskRecords) {
    this.#tasks = tasks
  }

  async createTask (
    { ttl, pollInterval }: { ttl?: number | null, pollInterval?: number },
    _requestId: string | number,
    _request: object,
    sessionId = ''
  ): Promise<Task> {
    const task = await this.#tasks.create(sessionId, {
      id: randomBytes(16).toString('hex'),
      ttl: within(ttl, TASK_TTL),
      pollInterval: within(pollInterval, POLL_INTERVAL)
    })
    if (task === undefined) {
      throw new TaskError(
        'There are as many tasks as may be kept. Try again when some have expired.',
        jsonRpcCodes.serverError
      )
    }
    return toTask(task)
  }

  async getTask (taskId: string, sessionId = ''): Promise<Task | null> {
    const found = ID.test(taskId) ? await this.#tasks.get(sessionId, taskId) : undefined
    return found === undefined ? null : toTask(found)
  }

  async storeTaskResult (
    taskId: string,
    status: 'completed' | 'failed',
    result: Result,
    sessionId = ''
  ): Promise<void> {
    const outcome = ID.test(taskId)
      ? await this.#tasks.change(sessionId, taskId, { status, result: JSON.stringify(result) })
      : 'unknown'
    check(taskId, outcome, `the task ${taskId} has failed. ${RESULT_TOO_LARGE}`)
  }

  async getTaskResult (taskId: string, sessionId = ''): Promise<Result> {
    const [task, result] = ID.test(taskId)
      ? await Promise.all([this.#tasks.get(sessionId, taskId), this.#tasks.getResult(sessionId, taskId)])
      : []
    if (result !== undefined) return parseRecord<Result>(result)
    if (task === undefined) throw notFound(taskId)
    const { status, statusMessage = 'There is none.' } = task
    throw new TaskError(`The task ${taskId} (${status}) has no result: ${statusMessage}`)
  }

  async updateTaskStatus (
    taskId: string,
    status: Task['status'],
    statusMessage?: string,
    sessionId = ''
  ): Promise<void> {
    const message = statusMessage?.slice(0, MAX_STATUS_MESSAGE_LENGTH)
    const change = { status, ...message !== undefined && { statusMessage: message } }
    check(taskId, ID.test(taskId) ? await this.#tasks.change(sessionId, taskId, change) : 'unknown')
  }

  async listTasks (cursor?: string, sessionId = ''): Promise<{ tasks: Task[], nextCursor?: string }> {
    if (cursor !== undefined && !CURSOR.test(cursor)) throw new TaskError('The cursor is not one of this list.')
    const { tasks, next } = await this.#tasks.list(sessionId, Number(cursor ?? 0), PAGE_SIZE)
    return { tasks: tasks.map(toTask), ...next !== undefined && { nextCursor: String(next) } }
  }
}

class KeptTaskMessages implements TaskMessageQueue {
  readonly #tasks: TaskRecords
  /**
   * Begins the requests that this process has queued. At another, whose requests have the same ids, the answer would
   * go to one of those, or be lost.
   */
  readonly #own = `!${randomUUID()} `

  constructor (tasks: TaskRecords) {
    this.#tasks = tasks
  }

  async enqueue (taskId: string, message: QueuedMessage, sessionId = '', maxSize?: number): Promise<void> {
    const text = (message.type === 'request' ? this.#own : '') + JSON.stringify(message)
    const outcome = ID.test(taskId) ? await this.#tasks.enqueue(sessionId, taskId, text, maxSize) : 'unknown'
    check(taskId, outcome, `No message more can wait for the task ${taskId}: too many do, or ${BOUND_REACHED}`)
  }

  async dequeue (taskId: string, sessionId = ''): Promise<QueuedMessage | undefined> {
    if (!ID.test(taskId)) return undefined
    const [text] = await this.#tasks.dequeue(sessionId, taskId, this.#own)
    return text === undefined ? undefined : parseMessage(text)
  }

  async dequeueAll (taskId: string, sessionId = ''): Promise<QueuedMessage[]> {
    if (!ID.test(taskId)) return []
    // the SDK does not await this: it would end the process to reject. What stays expires with the task
    const texts = await this.#tasks.dequeue(sessionId, taskId).catch((): string[] => [])
    return texts.filter(text => !text.startsWith('!') || text.startsWith(this.#own)).map(parseMessage)
  }
}

function parseMessage (text: string): QueuedMessage {
  return parseRecord<QueuedMessage>(text.slice(text.indexOf('{')))
}

/** @param full says what a bound has refused */
function check (taskId: string, outcome: TaskOutcome, full = ''): void {
  if (outcome === 'unknown') throw notFound(taskId)
  if (outcome === 'over') throw new TaskError(`The task ${taskId} has ended, and no longer changes.`)
  if (outcome === 'full') throw new TaskError(full, jsonRpcCodes.serverError)
}

function notFound (taskId: string): TaskError {
  return new TaskError(`Task not found: ${taskId.slice(0, 64)}`)
}

/** @returns whole milliseconds, 1 at least */
function within (
  asked: number | null | undefined,
  { defaultMs, maxMs }: { defaultMs: number, maxMs: number }
): number {
  if (typeof asked !== 'number' || Number.isNaN(asked)) return defaultMs
  return Math.max(1, Math.min(Math.ceil(asked), maxMs))
}

function toTask ({ id, createdAt, lastUpdatedAt, ...rest }: TaskRecord): Task {
  return {
    taskId: id,
    ...rest,
    createdAt: new Date(createdAt).toISOString(),
    lastUpdatedAt: new Date(lastUpdatedAt).toISOString()
  }
}
