import t from 'tap'
import { Policy } from '../../src/policy/policy.js'
import { WAYS, type Asked } from '../attacks/eras.js'
import { hostPlug, PLUGS } from './policy-server.js'

/*
 * Somebody who knows what is hidden, and tries to reach it by another way.
 */
const read = (uri: string): Asked => ({ method: 'resources/read', params: { uri } })
const DETOURS = ['DOC://secret', 'doc://%73ecret', 'SECRET://one', 'secret://%6fne', 'open://hidden', 'open://%68idden']
const rules = {
  roles: {
    all: { tools: ['*', '!secret'], resources: ['*', '!doc://secret', '!secret://{id}', '!open://hidden'], prompts: [] }
  }
}

for (const [name, way] of Object.entries(WAYS)) {
  for (const [line, makePlug] of Object.entries(PLUGS)) {
    t.test(`${name}, ${line}`, async t => {
      const policy = new Policy(rules)
      const { service, ran } = await hostPlug(t, way, makePlug, policy)
      const caller = await way.connect(t, service, 'mallory_mcp')
      for (const uri of DETOURS) {
        const { responses: [response] } = await caller.ask('mallory_mcp', [read(uri)])
        t.match([response?.error?.message, ran], [/^Resource not found/, []], `${uri} is hidden`)
      }
      for (const named of [['secret'], [['secret']], { toString: 1 }, { toString: 1, valueOf: 1 }, 7, [null], {}]) {
        const asked: Asked = { method: 'tools/call', params: { name: named, arguments: {} } }
        const { status, responses: [response] } = await caller.ask('mallory_mcp', [asked])
        const label = `a name that is ${JSON.stringify(named)}`
        t.ok(status < 500 && response?.result?.isError !== false, label)
        t.not(response?.error?.code, -32603, `${label} is the client's error`)
      }
      t.strictSame(ran, [])
      const { responses: [list] } = await caller.ask('mallory_mcp', [{ method: 'tools/list' }])
      t.not(list?.result?.cacheScope, 'public', 'no list is for everybody')
      const { responses: [completed] } = await caller.ask('mallory_mcp', [{
        method: 'completion/complete',
        params: { ref: { type: 'ref/resource', uri: 'open://{id}' }, argument: { name: 'id', value: '' } }
      }])
      t.match(completed?.result?.completion, { values: ['one'] }, 'a completion leaves out what is hidden')

      policy.replace({ ...rules, refusal: 'forbidden' })
      const call: Asked = { method: 'tools/call', params: { name: 'secret', arguments: {} } }
      const { status, responses: [refused] } = await caller.ask('mallory_mcp', [call])
      if (name.includes('HTTP+SSE')) t.match([status, refused?.error?.code], [202, -32003], 'forbidden, on the stream')
      else t.equal(status, 403, 'forbidden')
      t.strictSame(ran.filter(what => what.includes('secret')), [], 'nothing hidden has run')
    })
  }
}
