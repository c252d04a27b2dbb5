import { pino } from 'pino'
import t from 'tap'
import { TemporarilyUnavailableError } from '../../src/errors.js'
import { EventLogWriter, type LogWriterOptions, type WriteOutcome } from '../../src/mcp/transport/event-log-writer.js'
import { MemoryEventLog } from '../../src/stores/memory/event-log.js'

/* A writer whose store stays away gives up: when its time is over, when its session ends, or when nothing follows. */

const log = pino({ level: 'silent' })
// the writer's own timers keep no process alive
const alive = setInterval(() => {}, 1000)
t.teardown(() => { clearInterval(alive) })

function start (more: Partial<LogWriterOptions> = {}) {
  const eventLog = new MemoryEventLog()
  eventLog.close()
  const state = { isAway: true, attempts: 0 }
  const append = eventLog.append.bind(eventLog)
  const attempted: Array<() => void> = []
  eventLog.append = async (...given) => {
    state.attempts++
    for (const attempt of attempted.splice(0)) attempt()
    if (state.isAway) throw new TemporarilyUnavailableError('The store is away.')
    return await append(...given)
  }
  const options = { eventLog, sessionId: 's', streamId: 'get', maxWaiting: 1000, log, newName: () => 'n', ...more }
  const writer = new EventLogWriter(options)
  return {
    writer,
    eventLog,
    state,
    nextAttempt: () => new Promise<void>(resolve => { attempted.push(resolve) }),
    write: () => new Promise<WriteOutcome>(resolve => { writer.append({ data: 'x' }, resolve) })
  }
}

t.test('the time is over: what waits is dropped, and what comes when the store is back is written', async t => {
  const { write, state } = start({ giveUpMs: 1 })
  t.equal(await write(), 'failed')
  state.isAway = false
  t.equal(await write(), 'written')
})

t.test('a stream with positions has no gap: nothing more is written to it', async t => {
  const { write, state } = start({ giveUpMs: 1, open: async () => {} })
  t.equal(await write(), 'failed')
  state.isAway = false
  t.equal(await write(), 'failed')
})

t.test('nothing follows: the store is not waited for', async t => {
  const { writer, write, nextAttempt } = start()
  const first = nextAttempt()
  const written = write()
  await first
  writer.finish()
  t.equal(await written, 'failed')
})

t.test('the session ends', async t => {
  const { writer, write, nextAttempt } = start()
  const first = nextAttempt()
  const written = write()
  await first
  writer.close()
  t.equal(await written, 'over')
})

t.test('a reader that is behind is waited for, unless the process ends', async t => {
  const { writer, state, eventLog } = start({ maxWaiting: 10 })
  state.isAway = false
  const reader = { isFull: true, onEvent () {}, onEnd () {} }
  await eventLog.follow('s', 'get', undefined, reader)
  const append = () => new Promise<WriteOutcome>(resolve => { writer.append({ data: 'x'.repeat(20) }, resolve) })
  t.equal(await append(), 'written')
  const next = append()
  t.equal(await Promise.race([next, new Promise(resolve => setTimeout(resolve, 120))]), undefined, 'it waits')
  writer.finish()
  t.equal(await next, 'written')
})
