import { randomUUID } from 'node:crypto'
import type {
  JSONRPCErrorResponse,
  JSONRPCNotification,
  JSONRPCRequest,
  JSONRPCResultResponse
} from '@modelcontextprotocol/server'
import { jsonRpcCodes } from '../../json-rpc-codes.js'
import { parseRecord } from '../../parse-record.js'
import type { Stores } from '../stores.js'
import { markQueued, taskAskers } from './askers.js'
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
  /**
   * Takes the oldest message; undefined if none waits, or it is a request of another process, and not of a session's
   * server instance.
   */
  dequeue (taskId: string, sessionId?: string): Promise<QueuedMessage | undefined>
  /**
   * Takes all messages that wait, and returns, oldest first, those that are for this process. A request to the client
   * of a session is not returned: it fails, in the process that made it.
   */
  dequeueAll (taskId: string, sessionId?: string): Promise<QueuedMessage[]>
}

const BOUND_REACHED = 'its session has as many results and messages as may be kept. Try again when tasks have expired.'

/**
 * Makes the `taskMessageQueue` of servers of SDK 1.x, for the tasks of `createTaskStore`. Any replica gives a client
 * the notifications and requests of a task; the answers reach the process that runs it. Make it once, outside of
 * `createServer`.
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

/** Begins requests with the ids that they have on the wire: any replica may send them. */
const ANYWHERE = '?'

class KeptTaskMessages implements TaskMessageQueue {
  readonly #tasks: TaskRecords
  /**
   * Begins requests of something else than the instance of a session (2026-07-28), which have no such ids. At another
   * process, whose requests have the same ids, the answer would go to one of those, or be lost.
   */
  readonly #own = `!${randomUUID()} `

  constructor (tasks: TaskRecords) {
    this.#tasks = tasks
  }

  async enqueue (taskId: string, message: QueuedMessage, sessionId = '', maxSize?: number): Promise<void> {
    if (message.type !== 'request') {
      await this.#keep(taskId, JSON.stringify(message), sessionId, maxSize)
      return
    }
    const asker = taskAskers.find(sessionId)
    if (asker === undefined) {
      await this.#keep(taskId, this.#own + JSON.stringify(message), sessionId, maxSize)
      return
    }
    // before it can be sent: the response may be quick
    const request = asker.expect(message.message)
    try {
      await this.#keep(taskId, ANYWHERE + JSON.stringify({ ...message, message: request }), sessionId, maxSize)
    } catch (error) {
      asker.withdraw(request.id)
      throw error
    }
  }

  async dequeue (taskId: string, sessionId = ''): Promise<QueuedMessage | undefined> {
    if (!TASK_ID.test(taskId)) return undefined
    const [text] = await this.#tasks.dequeue(sessionId, taskId, this.#own)
    if (text === undefined) return undefined
    const queued = parseMessage(text)
    if (queued.type === 'request' && text.startsWith(ANYWHERE)) markQueued(queued.message)
    return queued
  }

  async dequeueAll (taskId: string, sessionId = ''): Promise<QueuedMessage[]> {
    if (!TASK_ID.test(taskId)) return []
    // the SDK does not await this: it would end the process to reject. What stays expires with the task
    const texts = await this.#tasks.dequeue(sessionId, taskId).catch((): string[] => [])
    for (const text of texts) if (text.startsWith(ANYWHERE)) endRequest(parseMessage(text), sessionId)
    return texts.filter(text => text.startsWith('{') || text.startsWith(this.#own)).map(parseMessage)
  }

  async #keep (taskId: string, text: string, sessionId: string, maxSize?: number): Promise<void> {
    const outcome = TASK_ID.test(taskId) ? await this.#tasks.enqueue(sessionId, taskId, text, maxSize) : 'unknown'
    checkStep(taskId, outcome, `No message more can wait for the task ${taskId}: too many do, or ${BOUND_REACHED}`)
  }
}

/** Fails a request that no client was asked, as the SDK does with those of its own process. */
function endRequest ({ type, message }: QueuedMessage, sessionId: string): void {
  if (type !== 'request') return
  const error = { code: jsonRpcCodes.internalError, message: 'Task cancelled or completed' }
  taskAskers.findAny(sessionId)?.settle({ jsonrpc: '2.0', id: message.id, error })
}

function parseMessage (text: string): QueuedMessage {
  return parseRecord<QueuedMessage>(text.slice(text.indexOf('{')))
}
