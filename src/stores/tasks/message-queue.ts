import { randomUUID } from 'node:crypto'
import type {
  JSONRPCErrorResponse,
  JSONRPCNotification,
  JSONRPCRequest,
  JSONRPCResultResponse
} from '@modelcontextprotocol/server'
import { parseRecord } from '../../parse-record.js'
import type { Stores } from '../stores.js'
import type { TaskRecords } from './records.js'
import { checkStep, TASK_ID } from './steps.js'

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

const BOUND_REACHED = 'its session has as many results and messages as may be kept. Try again when tasks have expired.'

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
  const queue = new KeptTaskMessages(tasks)
  queues.add(queue)
  return queue
}

const queues = new WeakSet<object>()

/** Whether `createTaskMessageQueue` has made it. */
export function isOwnMessageQueue (queue: object): boolean {
  return queues.has(queue)
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
    const outcome = TASK_ID.test(taskId) ? await this.#tasks.enqueue(sessionId, taskId, text, maxSize) : 'unknown'
    checkStep(taskId, outcome, `No message more can wait for the task ${taskId}: too many do, or ${BOUND_REACHED}`)
  }

  async dequeue (taskId: string, sessionId = ''): Promise<QueuedMessage | undefined> {
    if (!TASK_ID.test(taskId)) return undefined
    const [text] = await this.#tasks.dequeue(sessionId, taskId, this.#own)
    return text === undefined ? undefined : parseMessage(text)
  }

  async dequeueAll (taskId: string, sessionId = ''): Promise<QueuedMessage[]> {
    if (!TASK_ID.test(taskId)) return []
    // the SDK does not await this: it would end the process to reject. What stays expires with the task
    const texts = await this.#tasks.dequeue(sessionId, taskId).catch((): string[] => [])
    return texts.filter(text => !text.startsWith('!') || text.startsWith(this.#own)).map(parseMessage)
  }
}

function parseMessage (text: string): QueuedMessage {
  return parseRecord<QueuedMessage>(text.slice(text.indexOf('{')))
}
