import t from 'tap'
import { parseObject, valueAt } from '../support/json.js'
import { RawClient, type McpService } from '../support/mcp-harness.js'
import { hostSharing } from './sharing.js'
import { callForJson, callModern } from './stdio.js'

/*
 * Who shares a process of a program of both eras: clients of 2026-07-28, which have no sessions, and earlier ones.
 */
const FORM = { elicitation: { form: {} } }

/** Notes something. @returns the process, and all that it has been told */
async function note (service: McpService, text: string, person: string, capabilities = {}) {
  const args = { note: text }
  const { result } = await callModern(service, { tool: 'note', args, person, capabilities })
  return parseObject(String(valueAt(result, 'content', 0, 'text')))
}

async function noteEarlier (service: McpService, text: string, person: string) {
  const client = await new RawClient(service, person).connect('2025-06-18')
  return await callForJson(client, 'note', { note: text })
}

/** By `per`: what each process has been told in the end. */
const shares: ReadonlyArray<['person' | 'session' | 'shared', notes: ReadonlyArray<readonly string[]>]> = [
  ['person', [
    ['alice', 'alice again', 'alice elsewhere'], ['alice can more'], ['bob'], ['alice earlier', 'alice earlier again']
  ]],
  ['session', [
    ['alice', 'alice again'], ['alice elsewhere'], ['alice can more'], ['bob'],
    ['alice earlier'], ['alice earlier again']
  ]],
  ['shared', [
    ['alice', 'alice again', 'alice elsewhere', 'alice can more', 'bob'], ['alice earlier', 'alice earlier again']
  ]]
]

for (const [per, expected] of shares) {
  t.test(`per: ${per}`, async t => {
    const service = await hostSharing(t, { per })
    const found = [
      await note(service, 'alice', 'alice'),
      await note(service, 'alice again', 'alice'),
      await note(service, 'alice elsewhere', 'alice-elsewhere'),
      await note(service, 'alice can more', 'alice', FORM),
      await note(service, 'bob', 'bob'),
      await noteEarlier(service, 'alice earlier', 'alice'),
      await noteEarlier(service, 'alice earlier again', 'alice')
    ]
    const last = new Map(found.map(({ pid, notes }) => [pid, notes]))
    t.strictSame([...last.values()], expected)
  })

  if (per === 'shared') continue
  t.test(`per: ${per}; a question reaches who has called, and the state comes back`, async t => {
    const service = await hostSharing(t, { per })
    const call = { tool: 'ask', person: 'alice', capabilities: FORM }
    const [asked, askedBob] = await Promise.all([
      callModern(service, call), callModern(service, { ...call, person: 'bob' })
    ])
    for (const { result } of [asked, askedBob]) {
      t.match(result, { inputRequests: { colour: { method: 'elicitation/create' } } })
    }
    const answer = (colour: string, person: string, { result }: typeof asked) => {
      const inputResponses = { colour: { action: 'accept', content: { colour } } }
      return callModern(service, {
        ...call, person, more: { inputResponses, requestState: valueAt(result, 'requestState') }
      })
    }
    t.match(await answer('green', 'bob', asked), { error: { code: -32602 } }, 'nobody else may answer')
    const answered = await Promise.all([answer('red', 'alice', asked), answer('blue', 'bob', askedBob)])
    t.strictSame(answered.map(({ result }) => valueAt(result, 'content', 0, 'text')), ['red, asked', 'blue, asked'])
  })
}

t.test('per: shared; nobody is asked', async t => {
  const service = await hostSharing(t, { per: 'shared' })
  const { error } = await callModern(service, { tool: 'ask', person: 'alice', capabilities: FORM })
  t.match(error, { code: -32021 })
})
