import { isObject } from '../../members.js'

const MAX_WATCHED = 100

/**
 * The tasks (2025-11-25, experimental) that a server instance works on after it responded to the request that began
 * them, as the server's messages show.
 */
export class RunningTasks {
  /** Task id -> when it expires, in milliseconds by `performance.now`. */
  readonly #tasks = new Map<string, number>()

  /** Whether a task runs. */
  get any (): boolean {
    const now = performance.now()
    for (const [id, expiresAt] of this.#tasks) if (expiresAt <= now) this.#tasks.delete(id)
    return this.#tasks.size > 0
  }

  /** Notes the result of a request that began a task or asked for one. */
  noteResult (result: Record<string, unknown>): void {
    if ('task' in result) this.#begun(result.task)
    else if (this.#tasks.size > 0) this.noteStatus(result)
  }

  /** Notes the parameters of `notifications/tasks/status`, or the result of `tasks/get` or `tasks/cancel`. */
  noteStatus (task: Record<string, unknown> | undefined): void {
    if (typeof task?.taskId === 'string' && isOver(task.status)) this.#tasks.delete(task.taskId)
  }

  #begun (task: unknown): void {
    if (!isObject(task) || typeof task.taskId !== 'string') return
    if (this.#tasks.size >= MAX_WATCHED || isOver(task.status)) return
    this.#tasks.set(task.taskId, typeof task.ttl === 'number' ? performance.now() + task.ttl : Infinity)
  }
}

function isOver (status: unknown): boolean {
  return status === 'completed' || status === 'failed' || status === 'cancelled'
}
