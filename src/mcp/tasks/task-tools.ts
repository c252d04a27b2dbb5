import { isAnonymousKey } from '../../caller.js'
import type { Bus, BusMessages } from '../../stores/bus.js'
import type { Log } from '../../log.js'
import { BoundedMap } from '../../collections/bounded-map.js'

const MAX_TASKS_OF_PERSON = 200
const MAX_TASKS = 10_000
const MAX_NAME_LENGTH = 256

type Task = BusMessages['taskBegun']

/**
 * Which tool made which task (2025-11-25, experimental): a request for a task needs the scopes of that tool. Every
 * replica is told. A task that is forgotten, or older than this process, is unknown, and needs the scopes of all tools.
 */
export class TaskTools {
  readonly #bus: Bus
  readonly #log: Log
  readonly #ofPeople = new KnownTasks()
  /** Of callers who have not logged in: however many they are, they push nobody else's out. */
  readonly #ofAnonymous = new KnownTasks()
  readonly #unsubscribe: () => void

  constructor (bus: Bus, log: Log) {
    this.#bus = bus
    this.#log = log
    this.#unsubscribe = bus.subscribe('taskBegun', task => { this.#tasksOf(task).add(task) })
  }

  /** Number of tasks that are remembered. */
  get size (): number {
    return this.#ofPeople.size + this.#ofAnonymous.size
  }

  /** Remembers a task, here and on every replica. */
  begun (task: Task): void {
    if (task.taskId.length > MAX_NAME_LENGTH || task.tool.length > MAX_NAME_LENGTH) return
    this.#bus.publish('taskBegun', task).catch((err: unknown) => {
      this.#log.error({ err }, 'the other replicas could not be told which tool made a task')
    })
  }

  /** The tool that made a task; undefined if that is unknown. */
  findTool (task: Omit<Task, 'tool'>): string | undefined {
    return this.#tasksOf(task).findTool(task)
  }

  close (): void {
    this.#unsubscribe()
  }

  #tasksOf ({ person }: Pick<Task, 'person'>): KnownTasks {
    return isAnonymousKey(person) ? this.#ofAnonymous : this.#ofPeople
  }
}

class KnownTasks {
  /** By person, the one whose task is newest last; then by task. */
  readonly #tools = new Map<string, Map<string, string>>()
  size = 0

  findTool ({ person, holder, taskId }: Omit<Task, 'tool'>): string | undefined {
    return this.#tools.get(person)?.get(taskKey(holder, taskId))
  }

  add ({ person, holder, taskId, tool }: Task): void {
    const tasks = this.#tools.get(person) ?? new BoundedMap<string, string>(MAX_TASKS_OF_PERSON)
    this.#tools.delete(person)
    this.#tools.set(person, tasks)
    const before = tasks.size
    tasks.set(taskKey(holder, taskId), tool)
    this.size += tasks.size - before
    while (this.size > MAX_TASKS) {
      const [longestAgo] = this.#tools
      if (longestAgo === undefined) return
      this.size -= longestAgo[1].size
      this.#tools.delete(longestAgo[0])
    }
  }
}

function taskKey (holder: string, taskId: string): string {
  return JSON.stringify([holder, taskId])
}
