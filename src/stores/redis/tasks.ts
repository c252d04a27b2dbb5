import { createHash } from 'node:crypto'
import {
  TASK_BOUNDS,
  type NewTask,
  type TaskBounds,
  type TaskChange,
  type TaskOutcome,
  type TaskPage,
  type TaskRecord,
  type TaskRecords,
  type TaskStatus
} from '../tasks/records.js'
import type { Bus } from '../bus.js'
import { TaskHolders } from '../tasks/holders.js'
import type { RedisConnection } from './connection/connection.js'
import type { KeyMaker } from './keys.js'
import { TASK_FIELDS, taskScripts, type TaskFields } from './scripts/tasks.js'

/** The bounds of `TaskBounds` that Redis keeps. */
export type RedisTaskBounds = Pick<TaskBounds, 'maxOfHolder' | 'maxBytesOfHolder' | 'maxMessagesOfTask'>

/** Tasks of all replicas. All of one holder have the holder as hash tag, so that one script counts them. */
export class RedisTaskRecords implements TaskRecords {
  readonly isShared = true
  readonly #connection: RedisConnection
  readonly #keys: KeyMaker
  readonly #bounds: RedisTaskBounds
  readonly #holders: TaskHolders

  constructor (connection: RedisConnection, keys: KeyMaker, bus: Bus, bounds: Partial<RedisTaskBounds>) {
    this.#connection = connection
    this.#keys = keys
    this.#bounds = { ...TASK_BOUNDS, ...bounds }
    this.#holders = new TaskHolders(bus, holder => this.forget(holder))
    connection.define(taskScripts)
  }

  async create (
    holder: string,
    { id, ttl, pollInterval, runner }: NewTask
  ): Promise<TaskRecord | undefined> {
    const fields = await this.#connection.run(redis =>
      redis.mcpCreateTask(
        this.#tasks(holder),
        id,
        ttl,
        pollInterval,
        this.#bounds.maxOfHolder,
        ...runner === undefined ? [] : [runner]
      )
    )
    if (fields === null) return undefined
    this.#holders.add(holder)
    return toRecord(fields)
  }

  async get (holder: string, id: string): Promise<TaskRecord | undefined> {
    return toRecord(await this.#connection.run(redis => redis.hmget(this.#task(holder, id), ...TASK_FIELDS)))
  }

  async getResult (holder: string, id: string): Promise<string | undefined> {
    return await this.#connection.run(redis => redis.hget(this.#task(holder, id), 'result')) ?? undefined
  }

  async change (holder: string, id: string, { status, statusMessage = '', result }: TaskChange): Promise<TaskOutcome> {
    const rest = [statusMessage, ...result === undefined ? [] : [result]]
    return await this.#connection.run(redis =>
      redis.mcpChangeTask(this.#tasks(holder), id, this.#bounds.maxBytesOfHolder, status, ...rest)
    )
  }

  async list (holder: string, after: number, most: number): Promise<TaskPage> {
    const found = await this.#connection.run(redis => redis.mcpListTasks(this.#tasks(holder), after, most + 1))
    const page = found.slice(0, most)
    const last = page.at(-1)
    return {
      tasks: page.map(toRecord).filter(record => record !== undefined),
      ...last !== undefined && found.length > most && { next: Number(last[1]) }
    }
  }

  async enqueue (holder: string, id: string, message: string, most = Infinity): Promise<TaskOutcome> {
    const { maxBytesOfHolder, maxMessagesOfTask } = this.#bounds
    return await this.#connection.run(redis =>
      redis.mcpEnqueueTaskMessage(
        this.#tasks(holder),
        id,
        maxBytesOfHolder,
        Math.min(most, maxMessagesOfTask),
        message
      )
    )
  }

  async dequeue (holder: string, id: string, prefix?: string): Promise<string[]> {
    const prefixes = prefix === undefined ? [] : [prefix]
    return await this.#connection.run(redis => redis.mcpDequeueTaskMessages(this.#tasks(holder), id, ...prefixes))
  }

  async forget (holder: string): Promise<void> {
    await this.#connection.run(redis => redis.mcpForgetTasks(this.#tasks(holder)))
  }

  #tasks (holder: string): string {
    return this.#keys.make('tasks', toTag(holder))
  }

  #task (holder: string, id: string): string {
    return this.#keys.make('task', toTag(holder), id)
  }
}

function toTag (holder: string): string {
  return createHash('sha256').update(holder).digest('base64url').slice(0, 22)
}

const STATUSES: readonly TaskStatus[] = ['working', 'input_required', 'completed', 'failed', 'cancelled']

function toRecord (fields: TaskFields): TaskRecord | undefined {
  const [id, , status, ttl, pollInterval, createdAt, lastUpdatedAt, statusMessage, runner] = fields
  const known = STATUSES.find(one => one === status)
  if (typeof id !== 'string' || known === undefined) return undefined
  return {
    id,
    status: known,
    ttl: Number(ttl),
    pollInterval: Number(pollInterval),
    createdAt: Number(createdAt),
    lastUpdatedAt: Number(lastUpdatedAt),
    ...typeof statusMessage === 'string' && { statusMessage },
    ...typeof runner === 'string' && { runner }
  }
}
