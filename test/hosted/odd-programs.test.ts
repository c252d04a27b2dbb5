import t from 'tap'
import { valueAt } from '../support/json.js'
import { RawClient } from '../support/mcp-harness.js'
import { callTool, hostPlain, isAlive, readResponse, until } from './stdio.js'

/*
 * Programs that do what they should not. The call gets what there is, or an error; whoever else is served does not
 * notice.
 */
t.test('a result that is nested too deeply: an error, and the service lives', { timeout: 8000 }, async t => {
  const service = await hostPlain(t)
  const client = await new RawClient(service).connect()
  t.match(await callTool(client, 'nested', { depth: 200_000 }), { error: { code: -32000 } })
  t.match(await callTool(client, 'pid'), { text: /\d/ })
})

t.test('notifications whose members are not what they should be', { timeout: 8000 }, async t => {
  const service = await hostPlain(t)
  const client = await new RawClient(service).connect()
  t.match(await callTool(client, 'odd'), { text: 'after odd messages' })
})

t.test('bytes that are not UTF-8', { timeout: 8000 }, async t => {
  const service = await hostPlain(t)
  const client = await new RawClient(service).connect()
  t.match(await callTool(client, 'bytes'), { text: /^a\ufffd/ })
})

t.test('a line of 100 MB', { timeout: 8000 }, async t => {
  const service = await hostPlain(t)
  const client = await new RawClient(service).connect()
  t.match(await callTool(client, 'huge', { length: 100_000_000 }), { error: { message: /that is too long/ } })
})

for (const [fd, name] of ['input', 'output'].entries()) {
  t.test(`a program that closes its standard ${name}, and lives`, { timeout: 8000 }, async t => {
    const service = await hostPlain(t)
    const client = await new RawClient(service).connect()
    const { text: pid } = await callTool(client, 'pid')
    await callTool(client, 'close', { fd })
    t.match(await callTool(client, 'hang'), { error: { message: new RegExp(`closed its standard ${name}`) } })
    await until(() => !isAlive(Number(pid)))
    t.match(await callTool(client, 'pid'), { text: /\d/ }, 'another is started')
  })
}

t.test('more questions than anybody can answer', { timeout: 8000 }, async t => {
  const service = await hostPlain(t)
  const client = await new RawClient(service).connect('2025-11-25', { elicitation: {} })
  const leave = new AbortController()
  const params = { name: 'questions', arguments: { count: 5000 } }
  const response = await client.request('tools/call', params, {}, leave.signal)
  t.match(await readResponse(response), { result: { content: [{ text: /too many/i }] } })
})

t.test('progress of a task after the response', { timeout: 8000 }, async t => {
  const service = await hostPlain(t)
  const client = await new RawClient(service).connect()
  const stream = await client.get()
  const _meta = { progressToken: 'mine' }
  const response = await readResponse(await client.request('tools/call', { name: 'task', arguments: {}, _meta }))
  t.equal(valueAt(response, 'result', 'task', 'status'), 'working')
  let heard = ''
  for await (const chunk of stream.body ?? []) {
    heard += Buffer.from(chunk).toString()
    if (heard.includes('notifications/progress')) break
  }
  t.match(heard, /"progressToken":"mine","progress":7/)
})
