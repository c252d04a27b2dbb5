import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { StdioServerOptions } from '../../src/hosted/stdio/options/options.js'
import { objectOf, textAt, valueAt } from '../support/json.js'
import type { McpService } from '../support/mcp-harness.js'
import { callModern, hostPlain } from './stdio.js'
import { hostSharing } from './sharing.js'

/*
 * Clients of 2026-07-28 in front of an older program, by what it does with `server/discover`, and of one that is slow.
 */
interface Hosted extends McpService {
  /** How many processes there were. */
  starts (): Promise<number>
}

async function host (t: Test, flags: readonly string[], options: Partial<StdioServerOptions> = {}): Promise<Hosted> {
  const file = join(t.testdir({}), 'starts')
  const service = await hostPlain(t, { env: { STARTS: file }, ...options }, flags)
  return Object.assign(service, {
    starts: async () => (await readFile(file, 'utf8')).trim().split('\n').length
  })
}

const call = async (service: McpService, tool: string, person = 'alice', capabilities = {}) =>
  await callModern(service, { tool, person, capabilities })

const callForText = async (service: McpService, tool: string, person?: string) =>
  textAt((await call(service, tool, person)).result, 'content', 0, 'text')

/** Processes of the first person, by what the program does. */
const answers: Record<string, [flags: readonly string[], starts: number]> = {
  'refuses it': [[], 1],
  'says nothing': [['--silent'], 1],
  exits: [['--exits'], 2]
}

for (const [what, [flags, starts]] of Object.entries(answers)) {
  t.test(`it ${what}: it is reached in its own era, and the next ones are not asked`, async t => {
    const service = await host(t, flags)
    const pid = await callForText(service, 'pid')
    t.equal(await callForText(service, 'pid'), pid, 'the same process')
    t.equal(await service.starts(), starts)
    const began = performance.now()
    await callForText(service, 'pid', 'bob')
    t.equal(await service.starts(), starts + 1)
    t.ok(performance.now() - began < 2500, 'nothing is waited for')
  })
}

t.test('it is stuck: the first call fails in time, the next one works', async t => {
  const service = await host(t, ['--stuck'], { limits: { startSeconds: 1, graceSeconds: 0.1 } })
  t.match(await call(service, 'pid'), { error: { message: /has not begun within 1 seconds/ } })
  t.match(await callForText(service, 'pid'), /^\d+$/)
})

t.test('one that exits whatever it is asked: an error that says so', async t => {
  const service = await host(t, ['--exit'])
  t.match(await call(service, 'pid'), { error: { message: /exit code 7/ } })
})

t.test('what it asks for in one go is asked of the client in one go', async t => {
  const service = await host(t, [])
  const { result } = await call(service, 'ask_both', 'alice', { elicitation: { form: {} } })
  t.equal(Object.keys(objectOf(valueAt(result, 'inputRequests'))).length, 2)
})

const FORM = { elicitation: { form: {} } }
const asks = { result: { inputRequests: { colour: { method: 'elicitation/create' } } } }

/** Whether a process must be started once more because it has had `initialize` meanwhile. */
const slow: ReadonlyArray<[legacy: 'serve' | 'reject', isStartedAgain: boolean]> = [['serve', true], ['reject', false]]

for (const [legacy, isStartedAgain] of slow) {
  for (const people of [['alice'], ['alice', 'bob']]) {
    t.test(`${people.length} slow to say that they are of 2026-07-28, earlier revisions: ${legacy}`, async t => {
      const starts = join(t.testdir({}), 'starts')
      const service = await hostSharing(t, { starts, legacy, slow: people.length })
      const count = async () => (await readFile(starts, 'utf8')).trim().split('\n').length
      const asked = await Promise.all(people.map(person => call(service, 'ask', person, FORM)))
      for (const response of asked) t.match(response, asks, 'spoken to in their own era')
      const processes = people.length * (isStartedAgain ? 2 : 1)
      t.equal(await count(), processes)
      t.match(await call(service, 'ask', 'alice', { ...FORM, sampling: {} }), asks)
      t.equal(await count(), processes + 1, 'the next one is sure')
    })
  }
}

t.test('two slow processes are more than the time to start: the next call works', async t => {
  const starts = join(t.testdir({}), 'starts')
  const service = await hostSharing(t, { starts, slow: 2, limits: { startSeconds: 6 } })
  t.match(await call(service, 'ask', 'alice', FORM), { error: { message: /has not begun within 6 seconds/ } })
  t.match(await call(service, 'ask', 'alice', FORM), asks)
})
