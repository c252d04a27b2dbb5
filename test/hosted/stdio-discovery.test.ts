import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { StdioServerOptions } from '../../src/hosted/stdio/options/options.js'
import { objectOf, textAt, valueAt } from '../support/json.js'
import type { McpService } from '../support/mcp-harness.js'
import { callModern, hostPlain } from './stdio.js'

/*
 * Clients of 2026-07-28 in front of an older program, by what it does with `server/discover`.
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
