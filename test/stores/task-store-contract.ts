import type { Test } from 'tap'
import { createTaskMessageQueue } from '../../src/stores/tasks/message-queue.js'
import { createTaskStore } from '../../src/stores/tasks/store.js'
import type { TaskBounds, TaskRecords } from '../../src/stores/tasks/records.js'
import { taskRuns, type TaskRunner } from '../../src/stores/tasks/runs.js'
import { atOnce, countsOf, type Make } from './backend.js'

type Options = Partial<Pick<TaskBounds, 'maxOfHolder' | 'maxBytesOfHolder' | 'maxMessagesOfTask'>>

const REQUEST = { method: 'tools/call', params: {} }
const note = (data: string) => ({
  type: 'notification' as const,
  timestamp: 1,
  message: { jsonrpc: '2.0' as const, method: 'notifications/message', params: { data } }
})
const question = (id: number) => ({
  type: 'request' as const,
  timestamp: 1,
  message: { jsonrpc: '2.0' as const, id, method: 'elicitation/create', params: {} }
})

async function start (t: Test, make: Make<TaskRecords, Options>, options: Options = {}) {
  const { replicas, clock } = await make(t, options)
  const stores = replicas.map(tasks => ({ tasks }))
  const [first, last] = [stores[0], stores.at(-1)]
  if (first === undefined || last === undefined) throw new Error('There is no replica.')
  const all = stores.map(kept => createTaskStore(kept))
  const create = (ttl: number | null = 60_000, session = 's') =>
    createTaskStore(first).createTask({ ttl }, 1, REQUEST, session)
  return {
    replicas,
    clock,
    all,
    create,
    one: createTaskStore(first),
    other: createTaskStore(last),
    queue: createTaskMessageQueue(first),
    otherQueue: createTaskMessageQueue(last)
  }
}

/** What every `TaskRecords` keeps, by the interfaces that the SDK calls. */
export async function taskStoreContract (t: Test, make: Make<TaskRecords, Options>): Promise<void> {
  await t.test('a task is seen, finished and answered by any replica', async t => {
    const { one, other, create } = await start(t, make)
    const { taskId, ...task } = await create()
    t.match(task, { status: 'working', ttl: 60_000, pollInterval: 1000, createdAt: /Z$/, lastUpdatedAt: /Z$/ })
    t.strictSame(await other.getTask(taskId, 's'), { taskId, ...task })
    await other.updateTaskStatus(taskId, 'input_required', 'Which colour?', 's')
    t.match(await one.getTask(taskId, 's'), { status: 'input_required', statusMessage: 'Which colour?' })
    await t.rejects(other.getTaskResult(taskId, 's'), { code: -32602, message: /has no result/ })
    await one.storeTaskResult(taskId, 'completed', { content: [], é: '€' }, 's')
    t.strictSame(await other.getTaskResult(taskId, 's'), { content: [], é: '€' })
    t.match(await other.listTasks(undefined, 's'), { tasks: [{ taskId, status: 'completed' }] })
  })

  await t.test('what has ended never changes', async t => {
    for (const end of ['completed', 'failed', 'cancelled'] as const) {
      const { one, other, create } = await start(t, make)
      const { taskId } = await create()
      if (end === 'cancelled') await one.updateTaskStatus(taskId, end, 'by the client', 's')
      else await one.storeTaskResult(taskId, end, { first: true }, 's')
      const before = await one.getTask(taskId, 's')
      for (const status of ['working', 'input_required', 'completed', 'failed', 'cancelled'] as const) {
        await t.rejects(other.updateTaskStatus(taskId, status, 'later', 's'), { code: -32602 }, `${end} → ${status}`)
      }
      await t.rejects(other.storeTaskResult(taskId, 'completed', { second: true }, 's'), /has ended/)
      t.strictSame(await other.getTask(taskId, 's'), before)
    }
  })

  await t.test('of many ends at once, one counts', async t => {
    const { all, other, create } = await start(t, make)
    const { taskId } = await create()
    const ends = await atOnce(all, 20, (store, index) =>
      (index < 10
        ? store.storeTaskResult(taskId, 'completed', { index }, 's')
        : store.updateTaskStatus(taskId, 'cancelled', undefined, 's')).then(() => 'ended', () => 'refused'))
    t.strictSame(countsOf(ends), { ended: 1, refused: 19 })
    const { status } = await other.getTask(taskId, 's') ?? {}
    const result = await other.getTaskResult(taskId, 's').catch(() => undefined)
    t.equal(result !== undefined, status === 'completed')
  })

  await t.test('a task is its session\'s', async t => {
    const { other, queue, otherQueue, create } = await start(t, make)
    const { taskId } = await create()
    await queue.enqueue(taskId, note('secret'), 's')
    for (const session of ['t', '', undefined]) {
      t.equal(await other.getTask(taskId, session), null)
      await t.rejects(other.getTaskResult(taskId, session), /not found/)
      await t.rejects(other.updateTaskStatus(taskId, 'cancelled', 'x', session), /not found/)
      await t.rejects(other.storeTaskResult(taskId, 'failed', {}, session), /not found/)
      t.strictSame(await other.listTasks(undefined, session), { tasks: [] })
      await t.rejects(otherQueue.enqueue(taskId, note('x'), session), /not found/)
      t.equal(await otherQueue.dequeue(taskId, session), undefined)
      t.strictSame(await otherQueue.dequeueAll(taskId, session), [])
    }
    t.match(await other.getTask(taskId, 's'), { status: 'working' })
    t.strictSame(await otherQueue.dequeue(taskId, 's'), note('secret'))
    for (const id of ['', 'x'.repeat(10_000), '*', `${taskId}:x`]) t.equal(await other.getTask(id, 's'), null)
  })

  await t.test('the lifetime is bounded', async t => {
    const { create } = await start(t, make)
    const ttls: number[] = []
    for (const ttl of [null, 1e15, Infinity, 0, -5, NaN]) ttls.push((await create(ttl)).ttl)
    t.strictSame(ttls, [3_600_000, 86_400_000, 86_400_000, 1, 1, 3_600_000])
  })

  await t.test('a task expires, counted anew from its end, and makes room', async t => {
    const { one, other, create, queue, otherQueue, clock } = await start(t, make, { maxOfHolder: 2 })
    const [lost, ended] = [await create(1000), await create(1000)]
    await queue.enqueue(lost.taskId, note('x'), 's')
    await t.rejects(create(), { code: -32000, message: /as many tasks/ })
    t.ok(await create(1000, 'another'), 'another session has its own')
    await clock.pass(0.7)
    await one.storeTaskResult(ended.taskId, 'completed', { done: true }, 's')
    await clock.pass(0.6)
    t.equal(await other.getTask(lost.taskId, 's'), null)
    t.equal(await otherQueue.dequeue(lost.taskId, 's'), undefined)
    t.strictSame(await other.getTaskResult(ended.taskId, 's'), { done: true })
    t.ok(await create())
    await t.rejects(create(), /as many tasks/)
  })

  await t.test('pages', async t => {
    const { other, create } = await start(t, make)
    const ids: string[] = []
    for (let index = 0; index < 45; index++) ids.push((await create()).taskId)
    const pages: string[][] = []
    let cursor: string | undefined
    do {
      const page: Awaited<ReturnType<typeof other.listTasks>> = await other.listTasks(cursor, 's')
      pages.push(page.tasks.map(({ taskId }) => taskId))
      cursor = page.nextCursor
    } while (cursor !== undefined)
    t.strictSame(pages.flat(), ids)
    t.strictSame(pages.map(({ length }) => length), [20, 20, 5])
    for (const wrong of ['', 'x', '-1', '1e3', '9'.repeat(100)]) {
      await t.rejects(other.listTasks(wrong, 's'), { code: -32602 }, wrong)
    }
  })

  await runners(t, make)
  await messages(t, make)
  await bytes(t, make)
}

/** A replica that knows which of the others live. */
function open (
  t: Test,
  tasks: TaskRecords | undefined,
  id: string,
  isAlive: TaskRunner['isAlive'] = async () => true
): TaskRunner {
  const runner = { id, isAlive }
  taskRuns.open(runner, tasks)
  t.teardown(() => taskRuns.close(runner))
  return runner
}

async function runners (t: Test, make: Make<TaskRecords, Options>): Promise<void> {
  const begin = async (t: Test, isAlive: TaskRunner['isAlive']) => {
    const started = await start(t, make)
    const [first, last] = [started.replicas[0], started.replicas.at(-1) ?? started.replicas[0]]
    open(t, last, 'here', isAlive)
    const create = async (id: string, name = 'away') => {
      await first.create('s', { id, ttl: 60_000, pollInterval: 1000, runner: name })
    }
    await create('task')
    return { ...started, create, first }
  }

  await t.test('a task whose process has ended has failed, for good', async t => {
    const alive = new Set(['away'])
    const { one, other, create, first } = await begin(t, async id => alive.has(id))
    await create('second')
    await create('ended')
    await one.storeTaskResult('ended', 'completed', { text: 'in time' }, 's')
    await one.updateTaskStatus('second', 'input_required', 'Which colour?', 's')
    const before = await other.getTask('task', 's')
    t.match(before, { status: 'working' })
    t.notOk(before !== null && 'runner' in before, 'who runs it is nobody\'s business')
    alive.clear()
    const failed = { status: 'failed', statusMessage: /process that ran the task has ended/ }
    const asked = await atOnce([other], 10, store => store.getTask('task', 's'))
    for (const task of asked) t.strictSame(task, asked[0])
    t.match(asked[0], failed)
    t.match(await one.getTask('task', 's'), failed, 'everybody sees it')
    await t.rejects(other.getTaskResult('task', 's'), { code: -32000, message: /process that ran the task has ended/ })
    await t.rejects(one.storeTaskResult('task', 'completed', {}, 's'), /has ended/, 'even who was only slow')
    t.match(await other.listTasks(undefined, 's'), {
      tasks: [{ taskId: 'task', ...failed }, { taskId: 'second', ...failed }, { taskId: 'ended', status: 'completed' }]
    })
    t.strictSame(await other.getTaskResult('ended', 's'), { text: 'in time' })
    t.match(await first.get('s', 'second'), failed, 'to list them has settled it')
  })

  await t.test('a result that comes before wins', async t => {
    const { one, other } = await begin(t, async () => {
      await one.storeTaskResult('task', 'completed', { text: 'in time' }, 's')
      return false
    })
    t.match(await other.getTask('task', 's'), { status: 'completed' })
    t.strictSame(await other.getTaskResult('task', 's'), { text: 'in time' })
  })

  await t.test('nobody is taken for dead while the store cannot be asked, or by who has no replica', async t => {
    const { one, other, replicas } = await begin(t, async () => { throw new Error('The store cannot be reached.') })
    t.match(await other.getTask('task', 's'), { status: 'working' })
    if (replicas.length > 1) t.match(await one.getTask('task', 's'), { status: 'working' })
  })

  await t.test('stores that the server has opened itself', async t => {
    const { replicas: [tasks], one, create: createTask } = await start(t, make)
    const service = open(t, undefined, 'here', async () => false)
    const { taskId } = await createTask()
    t.equal((await tasks.get('s', taskId))?.runner, 'here')
    await tasks.create('s', { id: 'lost', ttl: 60_000, pollInterval: 1000, runner: 'away' })
    t.match(await one.getTask('lost', 's'), { status: 'failed' })
    await taskRuns.close(service)
    t.match(await one.getTask(taskId, 's'), { status: 'failed' })
    t.equal((await tasks.get('s', (await createTask()).taskId))?.runner, 'here', 'this process is about to end')
  })

  await t.test('a replica that closes fails what it still runs', async t => {
    const { replicas: [tasks], all: [store = createTaskStore({ tasks })], other } = await start(t, make)
    const task = async (from = store) => (await from.createTask({ ttl: 60_000 }, 1, REQUEST, 's')).taskId
    const before = await task()
    const second = open(t, tasks, 'second')
    const ofSecond = await task()
    const mine = open(t, tasks, 'mine')
    const [running, done, cancelled] = [await task(), await task(), await task()]
    const elsewhere = await task(createTaskStore({ tasks }, { runsElsewhere: true }))
    await store.storeTaskResult(done, 'completed', {}, 's')
    await other.updateTaskStatus(cancelled, 'cancelled', 'by the client', 's')
    let isDrained = false
    const drained = taskRuns.drain(mine, 60_000).then(() => { isDrained = true })
    await taskRuns.drain(mine, 100)
    t.notOk(isDrained, 'it waits for them')
    await taskRuns.close(mine)
    await drained
    const { tasks: left } = await other.listTasks(undefined, 's')
    t.strictSame(left.map(({ taskId, status }) => [taskId, status]), [
      [before, 'working'], [ofSecond, 'working'], [running, 'failed'], [done, 'completed'], [cancelled, 'cancelled'],
      [elsewhere, 'working']
    ])
    await taskRuns.close(second)
    t.match(await other.getTask(ofSecond, 's'), { status: 'failed', statusMessage: /has ended/ })
    t.equal((await tasks.get('s', await task()))?.runner, 'mine', 'what begins after the end has a dead runner')
  })
}

async function messages (t: Test, make: Make<TaskRecords, Options>): Promise<void> {
  await t.test('messages are taken in order, once, from any replica', async t => {
    const { queue, otherQueue, create } = await start(t, make)
    const { taskId } = await create()
    for (const text of ['a', 'b', 'c', 'd']) await queue.enqueue(taskId, note(text), 's')
    t.strictSame(await otherQueue.dequeue(taskId, 's'), note('a'))
    t.strictSame(await queue.dequeue(taskId, 's'), note('b'))
    t.strictSame(await otherQueue.dequeueAll(taskId, 's'), [note('c'), note('d')])
    t.equal(await queue.dequeue(taskId, 's'), undefined)
    t.strictSame(await queue.dequeueAll(taskId, 's'), [])
  })

  await t.test('a request is given only to who takes the answer', async t => {
    const { replicas, queue, create } = await start(t, make)
    // each queue is a process
    const [tasks] = replicas
    const stranger = createTaskMessageQueue({ tasks })
    const { taskId } = await create()
    await queue.enqueue(taskId, question(0), 's')
    await queue.enqueue(taskId, note('after'), 's')
    t.equal(await stranger.dequeue(taskId, 's'), undefined)
    t.strictSame(await queue.dequeue(taskId, 's'), question(0))
    t.strictSame(await stranger.dequeue(taskId, 's'), note('after'))
    await queue.enqueue(taskId, question(1), 's')
    t.strictSame(await stranger.dequeueAll(taskId, 's'), [], 'it would settle a request of its own')
    t.equal(await queue.dequeue(taskId, 's'), undefined, 'but it is gone')
  })

  await t.test('the SDK, which awaits no clearing of a queue, never meets a failure there', async t => {
    const down = async (): Promise<never> => { throw new Error('The store cannot be reached.') }
    const queue = createTaskMessageQueue({
      tasks: {
        isShared: false,
        create: down,
        get: down,
        getResult: down,
        change: down,
        list: down,
        enqueue: down,
        dequeue: down,
        forget: down
      }
    })
    t.strictSame(await queue.dequeueAll('task', 's'), [])
    await t.rejects(queue.dequeue('task', 's'), /cannot be reached/)
  })

  await t.test('so many wait', async t => {
    const { all, queue, create } = await start(t, make, { maxMessagesOfTask: 5 })
    const { taskId } = await create()
    await queue.enqueue(taskId, note('x'), 's', 2)
    await queue.enqueue(taskId, note('x'), 's', 2)
    await t.rejects(queue.enqueue(taskId, note('x'), 's', 2), { code: -32000 })
    const outcomes = await atOnce(all, 10, () =>
      queue.enqueue(taskId, note('x'), 's').then(() => 'kept', () => 'refused'))
    t.strictSame(countsOf(outcomes), { kept: 3, refused: 7 })
    t.equal((await queue.dequeueAll(taskId, 's')).length, 5)
    await queue.enqueue(taskId, note('x'), 's')
  })
}

async function bytes (t: Test, make: Make<TaskRecords, Options>): Promise<void> {
  await t.test('results and messages share the bytes of their session; a refused result fails its task', async t => {
    const { one, other, queue, create } = await start(t, make, { maxBytesOfHolder: 10_000 })
    const [a, b, c] = [await create(), await create(), await create()]
    await one.storeTaskResult(a.taskId, 'completed', { text: 'x'.repeat(5000) }, 's')
    await queue.enqueue(b.taskId, note('x'.repeat(3000)), 's')
    await t.rejects(queue.enqueue(b.taskId, note('x'.repeat(3000)), 's'), { code: -32000 })
    await t.rejects(one.storeTaskResult(b.taskId, 'completed', { text: 'x'.repeat(3000) }, 's'), /too large/)
    t.match(await other.getTask(b.taskId, 's'), { status: 'failed', statusMessage: /too large/ })
    await t.rejects(other.getTaskResult(b.taskId, 's'), /too large/)
    t.equal((await queue.dequeueAll(b.taskId, 's')).length, 1)
    await one.storeTaskResult(c.taskId, 'completed', { text: 'x'.repeat(3000) }, 's')
    t.match(await other.getTaskResult(c.taskId, 's'), { text: /^x{3000}$/ }, 'what is taken makes room')
  })

  await t.test('what is forgotten is gone, and makes room', async t => {
    const { replicas, one, queue, create } = await start(t, make, { maxOfHolder: 2, maxBytesOfHolder: 5000 })
    const { taskId } = await create()
    await queue.enqueue(taskId, note('x'.repeat(4000)), 's')
    const another = await create(60_000, 'another')
    await replicas.at(-1)?.forget('s')
    t.equal(await one.getTask(taskId, 's'), null)
    t.strictSame(await queue.dequeueAll(taskId, 's'), [])
    t.ok(await one.getTask(another.taskId, 'another'))
    await queue.enqueue((await create()).taskId, note('x'.repeat(4000)), 's')
  })
}
