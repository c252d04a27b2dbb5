import type { Log } from '../../log.js'
import { getMember } from '../../members.js'
import { isOwnMessageQueue } from '../../stores/tasks/message-queue.js'
import { findTaskRecords } from '../../stores/tasks/store.js'
import type { CreateServer } from '../create-server.js'

/*
 * What this is: a warning about a server that declares tasks where replicas share what is kept, but gives its SDK a
 * task store that they do not share (the SDK's own is of one process): they would be unknown to every other replica.
 * What it is not: a proof. A store of the server's own may well be shared, and the line says so.
 * What breaks: if an SDK keeps these elsewhere than in `_capabilities`, `_taskStore` and `_taskMessageQueue`, there is
 * no warning, or one too many (test/operations/tasks-at-start.test.ts).
 * Delete it when servers of SDK 1.x are no longer taken.
 */

/** The factories that are yet to be warned of. */
const watched = new WeakSet<CreateServer>()

/** Has the servers of a factory looked at: what they keep of tasks should be shared. */
export function watchTaskStores (createServer: CreateServer): void {
  watched.add(createServer)
}

/** Logs, once for a factory, that its servers declare tasks and keep them where other replicas may not find them. */
export function warnOfUnsharedTasks (server: object, createServer: CreateServer, log: Log): void {
  if (!watched.has(createServer) || getMember(getMember(server, '_capabilities'), 'tasks') === undefined) return
  const [store, queue] = [getMember(server, '_taskStore'), getMember(server, '_taskMessageQueue')]
  const isStoreShared = isObject(store) && findTaskRecords(store)?.isShared === true
  if (isStoreShared && (!isObject(queue) || isOwnMessageQueue(queue))) return
  watched.delete(createServer)
  const [kept, maker] = isStoreShared
    ? ['the messages of its tasks (taskMessageQueue)', 'createTaskMessageQueue(stores)']
    : ['its tasks (taskStore)', 'createTaskStore(stores)']
  log.warn(
    { taskStore: nameClass(store), taskMessageQueue: nameClass(queue) },
    `the server declares tasks, but ${maker} does not keep ${kept}: unless they are shared in another way, ` +
      `other replicas do not find them, and a restart loses them. Use ${maker} (docs/your-server.md)`
  )
}

function isObject (value: unknown): value is object {
  return typeof value === 'object' && value !== null
}

function nameClass (value: unknown): string | undefined {
  if (!isObject(value)) return undefined
  const { constructor }: { constructor?: unknown } = value
  return typeof constructor === 'function' ? constructor.name : undefined
}
