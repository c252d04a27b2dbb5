import { setImmediate as turn } from 'node:timers/promises'
import { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import { STANDALONE_STREAM } from '../../src/stores/event-log.js'
import type { Stores } from '../../src/stores/stores.js'
import { redisReplicas, redisTest } from '../support/redis-server.js'

const readers = 400
/** Scripts that were sent, altogether and in one turn of the event loop. */
const sent = { total: 0, ofTurn: 0, most: 0 }

const { sendCommand } = Redis.prototype
Redis.prototype.sendCommand = function (command, stream) {
  if (command.name === 'evalsha') {
    sent.total++
    if (sent.ofTurn++ === 0) setImmediate(() => { sent.ofTurn = 0 })
    sent.most = Math.max(sent.most, sent.ofTurn)
  }
  return sendCommand.call(this, command, stream)
}
t.teardown(() => { Redis.prototype.sendCommand = sendCommand })

async function follow ({ eventLog }: Stores, heard: Set<number>): Promise<void> {
  for (let index = 0; index < readers; index++) {
    await eventLog.follow(`s${index}`, STANDALONE_STREAM, undefined, {
      onEvent () { heard.add(index) },
      onEnd () {}
    })
  }
  Object.assign(sent, { total: 0, most: 0 })
}

redisTest('readers look for themselves now and then, but not together', async (t, server) => {
  const stores = await one(t, server, 1)
  await follow(stores, new Set())
  while (sent.total < 1.5 * readers) await turn()
  t.ok(sent.most <= readers / 8, `${sent.most} of ${readers} in one turn`)
})

redisTest('after an outage, readers look for what they missed, but not together', async (t, server) => {
  const stores = await one(t, server, 3600)
  const heard = new Set<number>()
  await follow(stores, heard)
  const admin = server.admin(t)
  // what comes while nobody listens, and of which nobody is told
  const streams = (await admin.keys('*:log:{s*}:stream:get')).map(key => key.replace(':stream:', ':events:'))
  t.equal(streams.length, readers)
  const writing = admin.multi()
  for (const stream of streams) writing.xadd(stream, '*', 'data', 'unheard')
  await writing.exec()
  await admin.call('CLIENT', 'KILL', 'TYPE', 'pubsub')
  while (heard.size < readers) await turn()
  t.ok(sent.most <= 120, `${sent.most} of ${readers} in one turn`)
})

async function one (t: Test, server: Parameters<typeof redisReplicas>[1], rereadSeconds: number): Promise<Stores> {
  const [stores] = await redisReplicas(t, server, { eventLog: { rereadSeconds } }, 1)
  if (stores === undefined) throw new Error('There is no replica.')
  return stores
}
