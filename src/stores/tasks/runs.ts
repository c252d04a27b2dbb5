import { BoundedMap } from '../../collections/bounded-map.js'
import { waitWhile } from '../../collections/wait-while.js'
import type { TaskRecords } from './records.js'

/** A replica, as far as tasks need it: it runs those that its process creates. */
export interface TaskRunner {
  readonly id: string
  /** Whether a replica is alive, or may be. */
  isAlive (replicaId: string): Promise<boolean>
}

/** What the status of a task says that the end of its process has failed. */
export const PROCESS_ENDED = 'The process that ran the task has ended. The task was not run again.'

interface Run {
  tasks: TaskRecords
  holder: string
  /** Id of its runner. */
  runner: string
  /** Milliseconds, by `performance.now`. */
  expiresAt: number
}

// beyond, the end of a task's process is noticed by who asks for it
const MAX_RUNS = 10_000
const ENDED_AT_ONCE = 100

/** The tasks that this process runs, and who runs those of others. */
class TaskRuns {
  /** The replicas of this process that have not closed, the newest last, and where they look for tasks. */
  readonly #runners = new Map<string, { runner: TaskRunner, tasks: TaskRecords | undefined }>()
  /** By task id. */
  readonly #runs = new BoundedMap<string, Run>(MAX_RUNS)
  /** Who ran the newest task that is kept there. */
  readonly #latest = new WeakMap<TaskRecords, string>()

  /** A replica begins to run tasks. @param tasks those that its service has */
  open (runner: TaskRunner, tasks: TaskRecords | undefined): void {
    this.#runners.set(runner.id, { runner, tasks })
  }

  /**
   * Id of the replica that runs what is created now. One that has closed: this process is about to end, too.
   * @returns undefined if no service runs in this process
   */
  findRunner (tasks: TaskRecords): string | undefined {
    const id = this.#find(tasks, true)?.id ?? this.#latest.get(tasks) ?? this.#find(tasks)?.id
    if (id !== undefined) this.#latest.set(tasks, id)
    return id
  }

  /** Notes that a task has begun here. */
  begun (id: string, run: Run): void {
    if (this.#runners.has(run.runner)) this.#runs.set(id, run)
  }

  /** Notes that a task has ended. */
  over (id: string): void {
    this.#runs.delete(id)
  }

  /** Whether the runner of a task lives, or may. */
  async isAlive (tasks: TaskRecords, runner: string): Promise<boolean> {
    if (this.#runners.has(runner)) return true
    // if the store cannot be asked, it counts as alive
    return await this.#find(tasks)?.isAlive(runner).catch(() => true) ?? true
  }

  /** Waits until a replica's tasks have ended, or `ms` have passed. */
  async drain (runner: TaskRunner, ms: number): Promise<void> {
    await waitWhile(() => this.#anyOf(runner), ms)
  }

  /** A replica ends: what it still runs has failed. Never rejects. */
  async close (runner: TaskRunner): Promise<void> {
    this.#runners.delete(runner.id)
    const left = [...this.#runs].filter(([, run]) => run.runner === runner.id)
    for (const [id] of left) this.#runs.delete(id)
    for (let at = 0; at < left.length; at += ENDED_AT_ONCE) {
      const ends = await Promise.allSettled(left.slice(at, at + ENDED_AT_ONCE).map(([id, { tasks, holder }]) =>
        tasks.change(holder, id, { status: 'failed', statusMessage: PROCESS_ENDED })))
      // the store cannot be reached. Who asks for the rest finds that their process has ended
      if (ends.every(({ status }) => status === 'rejected')) return
    }
  }

  /** The newest replica whose service has these tasks; else, if any will do, the newest: a server may open its own. */
  #find (tasks: TaskRecords, isExact = false): TaskRunner | undefined {
    const all = [...this.#runners.values()]
    return (all.findLast(one => one.tasks === tasks) ?? (isExact ? undefined : all.at(-1)))?.runner
  }

  #anyOf ({ id }: TaskRunner): boolean {
    const now = performance.now()
    for (const { runner, expiresAt } of this.#runs.values()) if (runner === id && expiresAt > now) return true
    return false
  }
}

/** Those of this process: what runs is a fact about it, not about stores. */
export const taskRuns = new TaskRuns()
