import { EventEmitter, once } from 'node:events'
import type { Test } from 'tap'
import type { Bus } from '../../src/stores/bus.js'
import type { Make } from './backend.js'

/** What every `Bus` keeps to. */
export async function busContract (t: Test, makeBus: Make<Bus>): Promise<void> {
  await t.test('every subscriber gets its messages, in order, and only of its topic', async t => {
    const { replicas } = await makeBus(t, {})
    const heard = replicas.map(() => new Array<string>())
    const news = new EventEmitter()
    for (const [index, bus] of replicas.entries()) {
      bus.subscribe('sessionEnded', () => {})
      bus.subscribe('grantEnded', ({ grantId }) => {
        heard[index]?.push(grantId)
        news.emit('heard')
      })
    }
    // a subscription elsewhere may take a moment: the first messages are repeated until they are heard
    const all = (grantId: string) => heard.every(ids => ids.includes(grantId))
    for (const bus of replicas) {
      while (!all('begin')) {
        const next = once(news, 'heard')
        await bus.publish('grantEnded', { grantId: 'begin' })
        await next
      }
    }
    const ids = Array.from({ length: 50 }, (_, index) => `ü-${index}`)
    for (const grantId of ids) {
      void replicas[0].publish('grantEnded', { grantId })
      void replicas[0].publish('sessionEnded', { sessionId: grantId })
    }
    await replicas[0].publish('grantEnded', { grantId: 'end' })
    while (!all('end')) await once(news, 'heard')
    for (const [index, received] of heard.entries()) {
      t.same(received.filter(id => id !== 'begin'), [...ids, 'end'], `replica ${index}`)
    }
  })

  await t.test('a message comes as it was given', async t => {
    const { replicas: [bus] } = await makeBus(t, {})
    const message = { jsonrpc: '2.0', id: 'x', result: { a: [1, null, 'ü'], b: {} } }
    const heard = new Promise(resolve => { bus.subscribe('sessionMessage', resolve) })
    await bus.publish('sessionMessage', { sessionId: 's', replicaId: 'r', message })
    t.strictSame(await heard, { sessionId: 's', replicaId: 'r', message })
  })

  await t.test('what is sent to one replica reaches that one alone, in order, however large', async t => {
    const { replicas } = await makeBus(t, {})
    const last = replicas.at(-1) ?? replicas[0]
    const heard = replicas.map(() => new Array<string>())
    const news = new EventEmitter()
    for (const [index, bus] of replicas.entries()) {
      bus.listenAs(`replica-${index}`)
      bus.subscribe('callAbandoned', ({ callId }) => {
        heard[index]?.push(callId)
        news.emit('heard')
      })
    }
    const send = (callId: string, to = replicas.length - 1) =>
      replicas[0].send(`replica-${to}`, 'callAbandoned', { replicaId: `replica-${to}`, callId })
    // it may be a moment before it listens
    while (heard[replicas.length - 1]?.length === 0) await send('begin')
    const ids = Array.from({ length: 30 }, (_, index) => `ü-${index}`.padEnd(index % 3 === 0 ? 20_000 : 5, '.'))
    for (const callId of ids) void send(callId)
    await last.publish('callAbandoned', { replicaId: '', callId: 'to all' })
    while (!heard.every(received => received.includes('to all')) || !heard.at(-1)?.includes(ids.at(-1) ?? '')) {
      await once(news, 'heard')
    }
    t.same(heard.at(-1)?.filter(id => id !== 'begin' && id !== 'to all'), ids)
    for (const received of heard.slice(0, -1)) t.same(received, ['to all'], 'the others')
  })

  await t.test('what is sent to nobody is nobody\'s, nor is what comes after the end', async t => {
    const { replicas: [bus, other = bus] } = await makeBus(t, {})
    const heard: string[] = []
    const leave = bus.listenAs('leaves')
    bus.listenAs('stays')
    const ended = new Promise<void>(resolve => {
      bus.subscribe('callAbandoned', ({ callId }) => {
        heard.push(callId)
        if (callId === 'end') resolve()
      })
    })
    const send = (replicaId: string, callId: string) => other.send(replicaId, 'callAbandoned', { replicaId, callId })
    while (heard.length < 1) await send('leaves', 'begin')
    leave()
    leave()
    heard.length = 0
    await send('leaves', 'left')
    await send('unknown', 'unknown')
    while (heard.length < 1) await send('stays', 'end')
    await ended
    t.same(new Set(heard), new Set(['end']))
  })

  await t.test('one that has unsubscribed gets nothing more', async t => {
    const { replicas: [bus] } = await makeBus(t, {})
    const heard: string[] = []
    const leave = bus.subscribe('grantEnded', ({ grantId }) => { heard.push(`left ${grantId}`) })
    const last = new Promise<void>(resolve => {
      bus.subscribe('grantEnded', ({ grantId }) => {
        heard.push(grantId)
        if (grantId === '2') resolve()
      })
    })
    await bus.publish('grantEnded', { grantId: '1' })
    leave()
    leave()
    await bus.publish('grantEnded', { grantId: '2' })
    await last
    t.same(heard, ['left 1', '1', '2'])
  })
}
