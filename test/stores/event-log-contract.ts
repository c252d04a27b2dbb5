import { EventEmitter, once } from 'node:events'
import type { Test } from 'tap'
import {
  MAX_KEPT_CHARACTERS,
  STANDALONE_STREAM,
  findEventPlace,
  firstEventId,
  type EventLog,
  type EventReader,
  type StreamEvent
} from '../../src/stores/event-log.js'
import { atOnce, countsOf, type Make } from './backend.js'

/** Bounds that every `EventLog` takes. */
export interface EventLogBounds {
  maxEventsPerStream?: number
  maxBytesPerStream?: number
  maxStreamsPerSession?: number
  retentionSeconds?: number
}

/** A reader that remembers what it read, and can be waited for. */
class Reader extends EventEmitter implements EventReader {
  readonly events: StreamEvent[] = []
  ends = 0
  /** How often another took its place. */
  taken = 0
  /** How many events it takes. */
  takes = Infinity

  get isFull (): boolean {
    return this.events.length >= this.takes
  }

  onEvent (event: StreamEvent): void {
    this.events.push(event)
    this.emit('news')
  }

  onEnd (): void {
    this.ends++
    this.emit('news')
  }

  onTaken (): void {
    this.taken++
    this.emit('news')
  }

  get data (): string[] {
    return this.events.map(({ data }) => data)
  }

  /** Waits until it has read as many events. */
  async has (count: number): Promise<this> {
    while (this.events.length < count) await once(this, 'news')
    return this
  }

  async ended (): Promise<this> {
    while (this.ends === 0) await once(this, 'news')
    return this
  }

  idOf (index: number): string {
    return this.events[index]?.eventId ?? ''
  }
}

/** What every `EventLog` keeps to. */
export async function eventLogContract (t: Test, makeLog: Make<EventLog, EventLogBounds>): Promise<void> {
  // by a real clock they wait for most of their time
  t.jobs = 3
  t.test('a stream, read while it is written', { buffered: true }, async t => {
    const { replicas } = await makeLog(t, {})
    const writer = replicas[0]
    for (const [index, log] of replicas.entries()) {
      const streamId = `stream-${index}`
      await writer.open('s', streamId, { requestIds: [1, 'two'] })
      await writer.append('s', streamId, [{ data: 'logged' }])
      const reader = new Reader()
      t.ok(await log.follow('s', streamId, firstEventId(streamId), reader))
      await reader.has(1)
      await writer.append('s', streamId, [{ data: '{"live":"ü\\n"}' }])
      await writer.append('s', streamId, [{ data: 'last', isKept: true, isFinal: true }])
      t.same((await reader.ended()).data, ['logged', '{"live":"ü\\n"}', 'last'])
      t.equal(reader.ends, 1)
      for (const { eventId } of reader.events) {
        t.equal(findEventPlace(eventId)?.streamId, streamId)
        t.match(eventId, /^[\x21-\x7e]{1,128}$/, 'an id fits into an SSE line and a header')
      }
      t.equal(new Set(reader.events.map(({ eventId }) => eventId)).size, 3)
    }
  })

  t.test('what is given without waiting keeps its order', { buffered: true }, async t => {
    const { replicas } = await makeLog(t, {})
    const [log] = replicas
    const reader = new Reader()
    const written = Array.from({ length: 200 }, (_, index) => String(index))
    void log.open('s', 'a', {})
    void log.append('s', 'a', [{ data: written[0] ?? '' }])
    const following = log.follow('s', 'a', firstEventId('a'), reader)
    for (const data of written.slice(1, -1)) void log.append('s', 'a', [{ data }])
    void log.append('s', 'a', [{ data: written.at(-1) ?? '', isKept: true, isFinal: true }])
    void log.append('s', 'a', [{ data: 'too late' }])
    await following
    t.same((await reader.ended()).data, written)
    const elsewhere = new Reader()
    await (replicas.at(-1) ?? log).follow('s', 'a', firstEventId('a'), elsewhere)
    t.same((await elsewhere.ended()).events, reader.events, 'and its ids, everywhere')
  })

  t.test('resumption: what comes after an event, and nothing else', { buffered: true }, async t => {
    const { replicas } = await makeLog(t, {})
    const [log] = replicas
    await log.open('s', 'a', {})
    await log.open('s', 'b', {})
    const first = new Reader()
    const following = await log.follow('s', 'a', firstEventId('a'), first)
    for (const data of ['1', '2', '3']) await log.append('s', 'a', [{ data }])
    await log.append('s', 'b', [{ data: 'another stream' }])
    await first.has(3)
    following?.stop()
    await log.append('s', 'a', [{ data: '4' }])
    for (
      const [from, rest] of [[firstEventId('a'), ['1', '2', '3', '4']], [first.idOf(0), ['2', '3', '4']], [
        first.idOf(2),
        ['4']
      ]] as const
    ) {
      for (const replica of replicas) {
        const reader = new Reader()
        const following = await replica.follow('s', 'a', from, reader)
        t.same((await reader.has(rest.length)).data, rest)
        following?.stop()
      }
    }
    await log.append('s', 'a', [{ data: '5', isKept: true, isFinal: true }])
    const last = new Reader()
    await log.follow('s', 'a', first.idOf(2), last)
    t.same((await last.ended()).data, ['4', '5'], 'of a complete stream too')
    t.same(first.data, ['1', '2', '3'], 'who stopped reads no more')
    t.equal(first.ends, 0)

    const nothingLeft = new Reader()
    await log.follow('s', 'a', last.idOf(1), nothingLeft)
    t.same((await nothingLeft.ended()).data, [])
  })

  t.test('a stream has one reader: a new one takes its place', { buffered: true }, async t => {
    const { replicas: [log] } = await makeLog(t, {})
    await log.open('s', 'a', {})
    const older = new Reader()
    const newer = new Reader()
    const following = await log.follow('s', 'a', firstEventId('a'), older)
    await log.append('s', 'a', [{ data: '1' }])
    await older.has(1)
    await log.follow('s', 'a', older.idOf(0), newer)
    await log.append('s', 'a', [{ data: '2' }])
    await newer.has(1)
    following?.stop()
    await log.append('s', 'a', [{ data: '3', isKept: true, isFinal: true }])
    t.same((await newer.ended()).data, ['2', '3'], 'the older one cannot stop it')
    t.same([older.data, older.ends], [['1'], 0], 'the older one hears nothing more, nor an end')
  })

  t.test('the standalone stream: what nobody has read yet', { buffered: true }, async t => {
    const { replicas: [log] } = await makeLog(t, {})
    await log.append('s', STANDALONE_STREAM, [{ data: '1' }])
    await log.append('s', STANDALONE_STREAM, [{ data: '2' }])
    const first = new Reader()
    const following = await log.follow('s', STANDALONE_STREAM, undefined, first)
    t.same((await first.has(2)).data, ['1', '2'])
    await log.append('s', STANDALONE_STREAM, [{ data: '3' }])
    await first.has(3)
    following?.stop()
    await log.append('s', STANDALONE_STREAM, [{ data: '4' }])
    const second = new Reader()
    const next = await log.follow('s', STANDALONE_STREAM, undefined, second)
    t.same((await second.has(1)).data, ['4'], 'each message is read once')
    next?.stop()

    const third = new Reader()
    const { position } = await log.follow('s', STANDALONE_STREAM, undefined, third) ?? { position: '' }
    t.equal(findEventPlace(position)?.streamId, STANDALONE_STREAM, 'where it stands can be told to the client')
    await log.append('s', STANDALONE_STREAM, [{ data: '5' }])
    await third.has(1)
    const resumed = new Reader()
    await log.follow('s', STANDALONE_STREAM, position, resumed)
    t.same((await resumed.has(1)).data, ['5'], 'and resumed from')
    const again = new Reader()
    await log.follow('s', STANDALONE_STREAM, first.idOf(0), again)
    t.same((await again.has(4)).data, ['2', '3', '4', '5'], 'whoever asks for what was read gets it')
  })

  t.test('a reader is handed as much as it takes, and the rest when it takes more', { buffered: true }, async t => {
    const { replicas } = await makeLog(t, { maxEventsPerStream: 3, maxBytesPerStream: 1000 })
    const [writer] = replicas
    for (const [index, log] of replicas.entries()) {
      const streamId = `stream-${index}`
      await writer.open('s', streamId, {})
      const reader = new Reader()
      reader.takes = 2
      const following = await log.follow('s', streamId, firstEventId(streamId), reader)
      const written = Array.from({ length: 1000 }, (_, index) => `${index}`.padStart(100, '.'))
      for (let from = 0; from < written.length; from += 100) {
        await writer.append('s', streamId, written.slice(from, from + 100).map(data => ({ data })))
      }
      await reader.has(2)
      t.ok(await writer.unread('s', streamId) ?? 0 > 10_000, 'that something waits for it is known')
      const last = await writer.append('s', streamId, [{ data: 'last', isKept: true, isFinal: true }])
      t.equal(last.taken, 1)
      reader.takes = Infinity
      following?.resume()
      t.same((await reader.ended()).data, [...written, 'last'], 'no bound touches what a reader has not taken')
    }
  })

  t.test('bounds never drop a response, nor a request to the client', { buffered: true }, async t => {
    const { replicas: [log] } = await makeLog(t, { maxEventsPerStream: 3, maxBytesPerStream: 1000 })
    await log.open('s', 'a', {})
    for (const streamId of ['a', STANDALONE_STREAM]) {
      await log.append('s', streamId, [{ data: 'request 1', isKept: true }])
      await log.append('s', streamId, Array.from({ length: 300 }, (_, index) => ({ data: `${index}` })))
      await log.append('s', streamId, [{ data: 'r'.repeat(2000), isKept: true }])
      await log.append('s', streamId, Array.from({ length: 300 }, (_, index) => ({ data: `${index}` })))
      await log.append('s', streamId, [{ data: 'request 3', isKept: true }])
      const reader = new Reader()
      await log.follow('s', streamId, firstEventId(streamId), reader)
      await reader.has(3)
      t.same(reader.data.filter(data => data.startsWith('r')), ['request 1', 'r'.repeat(2000), 'request 3'], streamId)
    }
  })

  t.test('requests to a client that never reads are refused beyond a bound', { buffered: true }, async t => {
    const { replicas: [log] } = await makeLog(t, {})
    const data = 'q'.repeat(MAX_KEPT_CHARACTERS / 4)
    for (let count = 0; count < 4; count++) {
      t.match(await log.append('s', STANDALONE_STREAM, [{ data, isKept: true }]), { taken: 1 })
    }
    const refused = await log.append('s', STANDALONE_STREAM, [{ data: 'one more', isKept: true }])
    t.match(refused, { taken: 0, refusal: 'full' })
    const reader = new Reader()
    await log.follow('s', STANDALONE_STREAM, undefined, reader)
    await reader.has(4)
    t.match(await log.append('s', STANDALONE_STREAM, [{ data: 'one more', isKept: true }]), { taken: 1 })
    t.equal((await reader.has(5)).data.at(-1), 'one more')
  })

  t.test('an append that is repeated adds nothing', { buffered: true }, async t => {
    const { replicas } = await makeLog(t, {})
    const [log] = replicas
    const other = replicas.at(-1) ?? log
    await log.open('s', 'a', {})
    const events = [{ data: '1', position: 1 }, { data: '2', position: 2 }]
    for (const time of ['once', 'twice']) t.match(await log.append('s', 'a', events), { taken: 2 }, time)
    const rest = [{ data: '2', position: 2 }, { data: '3', position: 3, isFinal: true }]
    t.match(await log.append('s', 'a', rest), { taken: 2 })
    const reader = new Reader()
    await log.follow('s', 'a', firstEventId('a'), reader)
    t.same((await reader.ended()).data, ['1', '2', '3'])
    t.same(reader.events.map(({ eventId }) => eventId), ['a:1', 'a:2', 'a:3'], 'the positions are the writer\'s')

    for (const name of ['one', 'one', 'two']) {
      t.match(await log.append('s', STANDALONE_STREAM, [{ data: name }, { data: name }], { name }), { taken: 2 })
      const others = [{ data: `other ${name}` }]
      t.match(await other.append('s', STANDALONE_STREAM, others, { name: `other-${name}` }), { taken: 1 })
    }
    const standalone = new Reader()
    await log.follow('s', STANDALONE_STREAM, undefined, standalone)
    t.same((await standalone.has(6)).data, ['one', 'one', 'other one', 'two', 'two', 'other two'])
  })

  t.test('who watches or reads a stream is told that another reads it', { buffered: true }, async t => {
    const { replicas } = await makeLog(t, {})
    for (const [index, log] of replicas.entries()) {
      const [writer] = replicas
      const streamId = `stream-${index}`
      await writer.open('s', streamId, {})
      const watched = new Reader()
      const unwatch = writer.watch('s', streamId, () => { watched.onEnd() })
      const [first, second] = [new Reader(), new Reader()]
      await writer.append('s', streamId, [{ data: '1' }])
      await writer.follow('s', streamId, firstEventId(streamId), first)
      await log.follow('s', streamId, firstEventId(streamId), second)
      while (first.taken === 0) await once(first, 'news')
      await watched.ended()
      unwatch()
      t.equal(second.taken, 0)
    }
  })

  t.test('who watches a stream is told that it is read already', { buffered: true }, async t => {
    const { replicas } = await makeLog(t, {})
    const [writer] = replicas
    for (const [index, log] of replicas.entries()) {
      const streamId = `stream-${index}`
      await writer.open('s', streamId, {})
      await log.follow('s', streamId, undefined, new Reader())
      const watched = new Reader()
      const unwatch = writer.watch('s', streamId, () => { watched.onEnd() })
      await watched.ended()
      unwatch()
    }
  })

  t.test('streams that are unknown', { buffered: true }, async t => {
    const { replicas } = await makeLog(t, {})
    const [log] = replicas
    await log.append('s', 'never opened', [{ data: 'x' }])
    await log.append('s', 'never opened', [{ isFinal: true }])
    await log.open('s', 'a', {})
    for (const replica of replicas) {
      for (
        const [sessionId, streamId] of [['s', 'never'], ['other', 'a'], ['__proto__', 'a'], ['s', '__proto__']] as const
      ) {
        t.equal(
          await replica.follow(sessionId, streamId, firstEventId(streamId), new Reader()),
          undefined,
          `${streamId} of ${sessionId}`
        )
        t.equal(await replica.pendingRequests(sessionId, streamId), undefined)
      }
    }
  })

  t.test('a stream that ends without another event', { buffered: true }, async t => {
    const { replicas } = await makeLog(t, {})
    const [log] = replicas
    await log.open('s', 'a', { requestIds: [7, '7'] })
    for (const replica of replicas) t.strictSame(await replica.pendingRequests('s', 'a'), [7, '7'])
    const reader = new Reader()
    await log.follow('s', 'a', firstEventId('a'), reader)
    await log.append('s', 'a', [{ data: '1' }])
    await log.append('s', 'a', [{ isFinal: true }])
    await log.append('s', 'a', [{ isFinal: true }])
    await log.append('s', 'a', [{ data: 'too late', isKept: true, isFinal: true }])
    t.same((await reader.ended()).data, ['1'])
    t.equal(reader.ends, 1)
    for (const replica of replicas) t.equal(await replica.pendingRequests('s', 'a'), undefined)
  })

  t.test('a stream that is settled in the place of its writer', { buffered: true }, async t => {
    const { replicas } = await makeLog(t, {})
    const [writer] = replicas
    const other = replicas.at(-1) ?? writer
    const missing = [1, '1', 2].map(requestId => ({ requestId, data: `error of ${JSON.stringify(requestId)}` }))
    await writer.open('s', 'a', { requestIds: [1, '1', 2] })
    const reader = new Reader()
    await other.follow('s', 'a', firstEventId('a'), reader)
    await writer.append('s', 'a', [{ data: 'progress' }])
    await writer.append('s', 'a', [{ data: 'answer of "1"', isKept: true, answers: '1' }])
    t.strictSame(await other.pendingRequests('s', 'a'), [1, 2], 'what is answered is not pending')
    t.equal(await other.settle('s', 'a', missing), true)
    await writer.append('s', 'a', [{ data: 'too late', isKept: true, answers: 1 }])
    await writer.append('s', 'a', [{ data: 'too late', isKept: true, isFinal: true, answers: 2 }])
    t.same(
      (await reader.ended()).data,
      ['progress', 'answer of "1"', 'error of 1', 'error of 2'],
      'each is answered once'
    )
    t.equal(reader.ends, 1)
    t.equal(await writer.pendingRequests('s', 'a'), undefined)
    t.equal(await writer.settle('s', 'a', missing), false, 'a complete one is settled already')
    t.equal(await writer.settle('s', 'never', missing), false)
    t.equal(await writer.settle('never', 'a', missing), false)
    const again = new Reader()
    await writer.follow('s', 'a', reader.idOf(0), again)
    t.same((await again.ended()).data, reader.data.slice(1), 'and for good')

    for (let round = 0; round < 10; round++) {
      const streamId = `race-${round}`
      await writer.open('s', streamId, { requestIds: [1] })
      const settled = await atOnce(replicas, 6, async (log, index) => {
        if (index !== round % 6) return await log.settle('s', streamId, [{ requestId: 1, data: `${index}` }])
        await log.append('s', streamId, [{ data: 'answer', isKept: true, isFinal: true }])
        return false
      })
      const outcome = new Reader()
      await other.follow('s', streamId, firstEventId(streamId), outcome)
      await outcome.ended()
      t.equal(outcome.data.length, 1, 'one answer, whoever is first')
      t.equal(countsOf(settled).true ?? 0, outcome.data[0] === 'answer' ? 0 : 1)
    }
  })

  t.test('a deleted session takes its streams with it, and no others', { buffered: true }, async t => {
    const { replicas } = await makeLog(t, {})
    const [log] = replicas
    const other = new Reader()
    await log.open('other', 'a', {})
    await log.follow('other', 'a', firstEventId('a'), other)
    await log.open('s', 'a', {})
    const [answer, standalone] = [new Reader(), new Reader()]
    await log.append('s', 'a', [{ data: '1' }])
    await log.follow('s', 'a', firstEventId('a'), answer)
    await log.follow('s', STANDALONE_STREAM, undefined, standalone)
    await (replicas.at(-1) ?? log).deleteSession('s')
    await Promise.all([answer.ended(), standalone.ended()])
    t.same([answer.ends, standalone.ends], [1, 1], 'readers are told the end')
    t.equal(await log.follow('s', 'a', firstEventId('a'), new Reader()), undefined)
    await log.append('other', 'a', [{ data: '2', isKept: true, isFinal: true }])
    t.same((await other.ended()).data, ['2'])
  })

  t.test('bounds: the oldest events of a stream go first', { buffered: true }, async t => {
    const { replicas: [log] } = await makeLog(t, { maxEventsPerStream: 3, maxBytesPerStream: 1000 })
    await log.open('s', 'events', {})
    for (const data of ['1', '2', '3', '4', '5']) await log.append('s', 'events', [{ data }])
    await log.open('s', 'bytes', {})
    for (const data of ['a', 'b', 'c']) await log.append('s', 'bytes', [{ data: data.repeat(600) }])
    await log.append('s', 'bytes', [{ data: 'd'.repeat(2000) }])
    for (const [streamId, rest] of [['events', ['3', '4', '5']], ['bytes', ['d'.repeat(2000)]]] as const) {
      const reader = new Reader()
      await log.follow('s', streamId, firstEventId(streamId), reader)
      t.same((await reader.has(rest.length)).data, rest, streamId)
    }
  })

  t.test('bounds: the oldest complete streams of a session go first', { buffered: true }, async t => {
    const { replicas: [log] } = await makeLog(t, { maxStreamsPerSession: 3 })
    await log.open('s', 'running', {})
    for (const streamId of ['a', 'b', 'c']) {
      await log.open('s', streamId, {})
      await log.append('s', streamId, [{ data: streamId, isKept: true, isFinal: true }])
    }
    t.equal(await log.follow('s', 'a', firstEventId('a'), new Reader()), undefined)
    for (const streamId of ['b', 'c', 'running']) {
      t.ok(await log.follow('s', streamId, firstEventId(streamId), new Reader()), streamId)
    }
  })

  t.test('bounds: complete streams are kept for a while', { buffered: true }, async t => {
    const { replicas: [log], clock } = await makeLog(t, { retentionSeconds: 2 })
    await log.open('s', 'a', {})
    await log.append('s', 'a', [{ data: '1', isKept: true, isFinal: true }])
    await log.append('s', STANDALONE_STREAM, [{ data: 'old' }])
    await clock.pass(1)
    await log.append('s', STANDALONE_STREAM, [{ data: 'new' }])
    const reader = new Reader()
    await log.follow('s', 'a', firstEventId('a'), reader)
    t.same((await reader.ended()).data, ['1'])
    await clock.pass(1.5)
    t.equal(await log.follow('s', 'a', firstEventId('a'), new Reader()), undefined)
    const standalone = new Reader()
    await log.follow('s', STANDALONE_STREAM, undefined, standalone)
    t.same((await standalone.has(1)).data, ['new'], 'and so are events of the standalone stream')
  })
}
