import { mock } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import t from 'tap'
import { Admission } from '../../src/mcp/admission/admission.js'
import { OpenResponses } from '../../src/mcp/admission/open-responses.js'
import { defaultLimits } from '../../src/mcp/limits.js'
import { kSessions } from '../../src/plugins/mcp/sessions.js'
import { RawClient, startMcp } from '../support/mcp-harness.js'

/* What is done for thousands of idle sessions and streams is done for some of them in each turn of the event loop. */

const personal = {
  maxSessionsPerOwner: 1000,
  maxSessionsPerPerson: 1000,
  maxInstancesPerPerson: 1000,
  maxStreamsPerPerson: 1000
}

t.test('idle instances are dropped some at a time', async t => {
  const count = 240
  const service = await startMcp(t, { limits: personal })
  for (let index = 0; index < count; index++) await new RawClient(service).connect()
  const counts = () => service.app.mcpSessions.counts
  t.equal(counts().instances, count)
  service.app[kSessions].tidy(Date.now() + 31_000)
  t.ok(counts().instances >= count - 100, `${counts().instances} of ${count} are left after one turn`)
  while (counts().instances > 0) await turn()
})

t.test('sessions that were opened together tell the store at different times that they live', async t => {
  const count = 60
  const service = await startMcp(t, { limits: personal })
  let told = 0
  const touch = service.sessions.touch.bind(service.sessions)
  service.sessions.touch = async (id, seenAt) => {
    told++
    return await touch(id, seenAt)
  }
  for (let index = 0; index < count; index++) {
    const response = await (await new RawClient(service).connect()).get()
    t.teardown(() => response.body?.cancel())
  }
  const now = Date.now()
  service.app[kSessions].tidy(now + 31_000)
  while (service.app.mcpSessions.counts.instances > 0) await turn()
  const of: number[] = []
  for (let seconds = 35; seconds <= 155; seconds += 5) {
    told = 0
    service.app[kSessions].tidy(now + seconds * 1000)
    await turn()
    of.push(told)
  }
  const total = of.reduce((sum, number) => sum + number, 0)
  t.ok(total >= count, 'each has told it')
  t.ok(Math.max(...of) <= count * 0.7, `${of.join(', ')} of ${count} at a time`)
})

t.test('open responses are weighed some at a time, and each every time', async t => {
  mock.timers.enable({ apis: ['setInterval'] })
  t.teardown(() => { mock.timers.reset() })
  const count = 1000
  const admission = new Admission({ ...defaultLimits, maxOpenResponsesPerPerson: count })
  const cut: string[] = []
  const responses = new OpenResponses({
    admission,
    maxUnreadBytes: 1500,
    maxUnreadBytesPerPerson: 1000,
    stalledMs: 60_000,
    onCut () {}
  })
  t.teardown(() => { responses.stop() })
  const counts = { weighed: 0 }
  for (let index = 0; index < count; index++) {
    const [person, unread] = index < count - 4 ? ['idle', 0] : [`reader ${index % 2}`, 500 + index % 4]
    responses.open(person, 0, {
      get unreadBytes () {
        counts.weighed++
        return unread
      },
      takenBytes: undefined,
      cut: () => { cut.push(person) }
    })
  }
  mock.timers.tick(500)
  t.ok(counts.weighed <= 250, `${counts.weighed} of ${count} in one turn`)
  while (counts.weighed < count) await turn()
  for (let round = 0; round < 3; round++) await turn()
  t.equal(counts.weighed, count)
  t.strictSame(cut.sort(), ['reader 0', 'reader 1'], 'who has too much for one person')
  mock.timers.tick(500)
  while (counts.weighed < 2 * count - 2) await turn()
  for (let round = 0; round < 3; round++) await turn()
  t.equal(cut.length, 2, 'those left are within all bounds')
})

t.test('of all responses, those of who leaves most unread are cut, those that move last', async t => {
  mock.timers.enable({ apis: ['setInterval'] })
  t.teardown(() => { mock.timers.reset() })
  const cut: string[] = []
  const responses = new OpenResponses({
    admission: new Admission(defaultLimits),
    maxUnreadBytes: 100_000,
    maxUnreadBytesPerPerson: 1_000_000,
    stalledMs: 60_000,
    onCut () {}
  })
  t.teardown(() => { responses.stop() })
  const open = (person: string, name: string, ...unread: number[]) => {
    responses.open(person, 0, {
      get unreadBytes () { return unread.shift() ?? 0 },
      takenBytes: undefined,
      cut: () => { cut.push(name) }
    })
  }
  open('light', 'light', 20_000, 20_000)
  open('heavy', 'moves', 40_000, 30_000, 30_000)
  open('heavy', 'stands', 30_000, 30_000)
  open('heavy', 'stands, less', 9000, 29_000)
  mock.timers.tick(500)
  await turn()
  t.strictSame(cut, [])
  mock.timers.tick(500)
  await turn()
  t.strictSame(cut, ['stands'])
})
