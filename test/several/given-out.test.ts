import t from 'tap'
import { RawClient } from '../support/mcp-harness.js'
import { parseObject, valueAt } from '../support/json.js'
import { checkGivenOut } from './given-out-uses.js'
import { keptStores } from './kept-stores.js'
import { startTwo, tokenOf } from './two-servers.js'

const policy = { public: { tools: ['state'] } }

for (const [kind, make] of Object.entries(keptStores)) {
  t.test(kind, async t => { await checkGivenOut(t, [await startTwo(t, make(t), { policy })]) })

  t.test(`${kind}, without sessions`, async t => {
    const { at, features } = await startTwo(t, make(t), { sessionMode: 'stateless' })
    features.notes.thinking = new Promise(() => {})
    const ask = async (name: 'notes' | 'files', method: string, params: Record<string, unknown>) =>
      parseObject(await (await new RawClient(at(name), tokenOf('alice', name)).request(method, params)).text())
    const think = { name: 'think', arguments: { about: 'whales' }, task: { ttl: 60_000 } }
    const taskId = valueAt(await ask('notes', 'tools/call', think), 'result', 'task', 'taskId')
    for (const method of ['tasks/get', 'tasks/result', 'tasks/cancel']) {
      t.match(await ask('files', method, { taskId }), { error: { code: -32602 } }, `${method} at the other server`)
    }
    t.match(await ask('files', 'tasks/list', {}), { result: { tasks: [] } })
    t.match(await ask('notes', 'tasks/get', { taskId }), { result: { taskId, status: 'working' } })
  })
}
