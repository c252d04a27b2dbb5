import t from 'tap'
import { Admission } from '../../src/mcp/admission/admission.js'
import { defaultLimits } from '../../src/mcp/limits.js'
import { OpenStreams } from '../../src/mcp/transport/open-streams.js'
import { SseStream } from '../../src/mcp/transport/sse-stream.js'

t.test('heartbeats are spread over their interval, and each stream gets one in each', async t => {
  const heartbeatMs = 600
  const streams = new OpenStreams({ admission: new Admission(defaultLimits), heartbeatMs, retryMs: 1000 })
  t.teardown(() => { streams.close() })
  const beats = new Map<SseStream, number>()
  let ofTurn = 0
  let most = 0
  const count = 600
  const all = Array.from({ length: count }, () => {
    const stream = new SseStream({ streamId: 's', grantId: 'g' }, closed => { streams.delete(closed) }, {
      maxBufferedBytes: 1000,
      maxUnreadBytes: 1000,
      retryMs: 1000,
      withIds: true
    })
    const push = stream.push.bind(stream)
    stream.push = (chunk, encoding) => {
      beats.set(stream, (beats.get(stream) ?? 0) + 1)
      if (ofTurn++ === 0) setImmediate(() => { ofTurn = 0 })
      most = Math.max(most, ofTurn)
      return push(chunk, encoding)
    }
    streams.add(stream)
    return stream
  })
  await new Promise<void>(resolve => {
    const check = setInterval(() => {
      if (beats.size < count) return
      clearInterval(check)
      resolve()
    }, 5)
  })
  t.ok(most <= count / 4, `${most} of ${count} in one turn`)
  t.ok([...beats.values()].every(number => number <= 2), 'nobody gets more than their turn')
  streams.endGrant('another')
  t.equal(streams.size, count)
  streams.endGrant('g')
  t.equal(streams.size, 0, 'the streams of a grant end together')
  t.ok(all.every(({ over }) => over))
})
