import type { Test } from 'tap'
import { findEventPlace } from '../../src/stores/event-log.js'
import { createRedisStores } from '../../src/stores/redis/stores.js'
import { ControlledServer, say } from '../support/controlled-server.js'
import { freePort } from '../support/free-port.js'
import { RawClient, startMcp } from '../support/mcp-harness.js'
import { parseData, readEvents } from '../support/raw-http.js'
import { reachable, redisTest, type RedisServer } from '../support/redis-server.js'
import { RedisProxy, type Fault } from './redis-proxy.js'

/*
 * One reply of Redis comes late, or never: the response that it tells of must arrive soon, and not when all streams are
 * read again, which is every 30 seconds.
 */
const SOON_MS = 12_000
const COMMAND_MS = 1000
// the command has failed, but the connection is kept, which would wake every reader when it came back
const LATE_MS = 1.5 * COMMAND_MS

redisTest('one late reply of Redis', async (t, server) => {
  t.jobs = 2
  const faults: Fault[] = ['late', 'cut']
  await Promise.all(faults.map(fault => t.test(fault, { buffered: true }, t => arrives(t, server, fault))))
})

async function arrives (t: Test, server: RedisServer, fault: Fault): Promise<void> {
  const port = await freePort()
  const proxy = new RedisProxy(Number(new URL(server.url).port), LATE_MS)
  await proxy.listen(port)
  t.teardown(() => { proxy.close() })
  const options = { keyPrefix: fault, sessionIdleSeconds: 60 }
  const writes = createRedisStores({ ...options, url: server.url })
  const reads = createRedisStores({ ...options, url: `redis://127.0.0.1:${port}`, commandTimeoutMs: COMMAND_MS })
  t.teardown(() => Promise.all([writes.close(), reads.close()]))
  await Promise.all([writes, reads].map(reachable))

  const plug = new ControlledServer()
  const runs = await startMcp(t, { ...writes, createServer: plug.createServer })
  const elsewhere = await startMcp(t, { ...reads, createServer: plug.createServer })
  const client = await new RawClient(runs).connect()
  const { sessionId, protocolVersion } = client
  const params = { name: 'wait', arguments: { name: fault } }
  const response = client.request('tools/call', params)
  const call = await plug.call(fault)
  await say(call, 'begun')
  const { value: first } = await readEvents(await response).next()
  const place = findEventPlace(first?.id ?? '')
  if (place === undefined) throw new Error('The stream has no event.')

  const reader = Object.assign(new RawClient(elsewhere), { sessionId, protocolVersion })
  const events = readEvents(await reader.get({ 'last-event-id': first?.id ?? '' }, AbortSignal.timeout(SOON_MS)))
  await say(call, 'more')
  let text = ''
  while (!text.includes('"more"')) text = (await events.next()).value?.data ?? '"more"'

  // the next command about this stream reads it
  proxy.fail(place.streamId, fault)
  call.finish('done')
  const seen = []
  for await (const event of events) if (event.data !== '') seen.push(parseData(event))
  t.match(seen.at(-1), { result: { content: [{ text: 'done' }] } }, 'the response arrives')
  t.notOk(proxy.isArmed, 'though a reply did not')
}
