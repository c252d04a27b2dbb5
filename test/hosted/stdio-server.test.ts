import t from 'tap'
import { RawClient } from '../support/mcp-harness.js'
import { kSessions } from '../../src/plugins/mcp/sessions.js'
import { callForJson, callTool, hostPlain, isAlive, readResponse, until } from './stdio.js'

const clients = async (service: Awaited<ReturnType<typeof hostPlain>>, ...tokens: string[]) =>
  await Promise.all(tokens.map(token => new RawClient(service, token).connect('2025-06-18')))

t.test('per person: the sessions of a person share a process, nobody else does', async t => {
  const service = await hostPlain(t)
  const [alice, again, elsewhere, bob] = await clients(service, 'alice', 'alice', 'alice-elsewhere', 'bob')
  if (alice === undefined || again === undefined || elsewhere === undefined || bob === undefined) throw new Error()
  await callTool(alice, 'note', { text: 'of alice' })
  await callTool(bob, 'note', { text: 'of bob' })
  const { text: pid } = await callTool(alice, 'pid')
  t.equal((await callTool(again, 'pid')).text, pid)
  t.equal((await callTool(elsewhere, 'pid')).text, pid)
  t.not((await callTool(bob, 'pid')).text, pid)
  t.match(await callForJson(again, 'state'), { notes: ['of alice'], initializes: 1, initialized: 1 })
  t.match(await callForJson(bob, 'state'), { notes: ['of bob'], initializes: 1 })

  const capable = await new RawClient(service).connect('2025-06-18', { sampling: {} })
  t.not((await callTool(capable, 'pid')).text, pid, 'a client that can do more has a process of its own')
})

t.test('per session: each has its own, which is kept while the session is idle, and ends with it', async t => {
  const service = await hostPlain(t, { per: 'session' })
  const [first, second] = await clients(service, 'alice', 'alice')
  if (first === undefined || second === undefined) throw new Error()
  const { text: pid } = await callTool(first, 'pid')
  t.not((await callTool(second, 'pid')).text, pid)
  await callTool(first, 'note', { text: 'kept' })
  service.app[kSessions].tidy(Date.now() + 31_000)
  t.equal(service.app[kSessions].counts.instances, 0)
  t.match(await callForJson(first, 'state'), { notes: ['kept'], initializes: 1, initialized: 1 })
  t.equal((await callTool(first, 'pid')).text, pid)
  await service.app[kSessions].delete(String(first.sessionId))
  await until(() => !isAlive(Number(pid)))
})

t.test('shared: one for all, which can ask nobody', async t => {
  const service = await hostPlain(t, { per: 'shared' })
  const alice = await new RawClient(service).connect('2025-06-18', { elicitation: {} })
  const bob = await new RawClient(service, 'bob').connect('2025-06-18')
  t.equal((await callTool(alice, 'pid')).text, (await callTool(bob, 'pid')).text)
  t.match(await callForJson(alice, 'state'), { initializes: 1, capabilities: [] })
  t.match(await callTool(alice, 'ask', { message: 'who?' }), { error: { code: -32603 } })
  t.match(await readResponse(await alice.request('tasks/list')), { error: { message: /shared by all/ } })
})

t.test('the environment: what a program needs, and what is given', async t => {
  process.env.SECRET_OF_OURS = 'not for children'
  process.env.ASKED_FOR = 'for children'
  t.teardown(() => {
    delete process.env.SECRET_OF_OURS
    delete process.env.ASKED_FOR
  })
  const service = await hostPlain(t, {
    env: { WHO: '<${subject}>', TOKEN: '${upstreamAccessToken}' },
    inheritEnv: ['ASKED_FOR']
  }, ['--user=${subject} $(id); ${issuer}'], { getUpstreamAccessToken: async ({ extra }) => `of ${extra.subject}` })
  const [alice] = await clients(service, 'alice')
  if (alice === undefined) throw new Error()
  const { env, args } = await callForJson(alice, 'env')
  t.match(env, { PATH: String, WHO: '<alice>', TOKEN: 'of alice', ASKED_FOR: 'for children' })
  t.notMatch(env, { SECRET_OF_OURS: String })
  t.same(args, ['--user=alice $(id); https://login.example'], 'one argument, as it is')
})

t.test('a value that is missing, or could be an option, is refused', async t => {
  for (const args of [['${claims.email}'], ['${claims.__proto__.x}']]) {
    const service = await hostPlain(t, {}, args)
    const response = await new RawClient(service).request('initialize', {
      protocolVersion: '2025-06-18',
      capabilities: {},
      clientInfo: { name: 'test', version: '1' }
    })
    t.equal(response.status, 502)
    t.match(await readResponse(response), { error: { message: /needs claims\..* of this login, which is not known/ } })
  }
})

t.test('ids, progress and cancellation of several sessions do not meet', async t => {
  const service = await hostPlain(t)
  const [one, two] = await clients(service, 'alice', 'alice')
  if (one === undefined || two === undefined) throw new Error()
  const abort = new AbortController()
  // both have the same ids and tokens
  const hanging = [one, two].map(async client => await client.request('tools/call', { name: 'hang' }, {}, abort.signal))
  const bodies = await Promise.all([one, two].map(async client => {
    const response = await client.request('tools/call', { name: 'progress', _meta: { progressToken: 'mine' } })
    return await response.text()
  }))
  for (const body of bodies) {
    t.equal(body.match(/"progressToken":"mine"/g)?.length, 3)
    t.notMatch(body, /"text":"mine"/, 'the server had another token')
  }
  await one.notify('notifications/cancelled', { requestId: 2 })
  await until(async () => {
    const { cancelled } = await callForJson(two, 'state')
    return Array.isArray(cancelled) && cancelled.length === 1
  })
  abort.abort()
  await Promise.allSettled(hanging)
})

t.test('the server asks the session whose call runs', async t => {
  const service = await hostPlain(t)
  const capabilities = { elicitation: {} }
  const one = await new RawClient(service).connect('2025-06-18', capabilities)
  const two = await new RawClient(service).connect('2025-06-18', capabilities)
  for (const [client, colour] of [[one, 'red'], [two, 'blue']] as const) {
    const response = await client.request('tools/call', { name: 'ask', arguments: { message: colour } })
    const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader()
    let text = ''
    while (!text.includes('elicitation/create')) text += (await reader?.read())?.value ?? ''
    const id = /"id":"([^"]+)"/.exec(text)?.[1]
    await client.post({ jsonrpc: '2.0', id, result: { action: 'accept', content: { colour } } })
    for (let read = await reader?.read(); read?.done === false; read = await reader?.read()) text += read.value
    t.match(text, `\\"colour\\":\\"${colour}\\"`)
  }
})

t.test('roots of clients are not for the server, unless it is to have them', async t => {
  for (const roots of [false, true]) {
    const service = await hostPlain(t, { roots })
    const client = await new RawClient(service).connect('2025-06-18', { roots: { listChanged: true }, sampling: {} })
    await client.notify('notifications/roots/list_changed')
    t.match(await callForJson(client, 'state'), roots
      ? { capabilities: ['roots', 'sampling'], notes: ['notifications/roots/list_changed'] }
      : { capabilities: ['sampling'], notes: [] })
    if (!roots) t.match(await callTool(client, 'roots'), { error: { message: /does not learn the roots/ } })
  }
})

t.test('a session that leaves: its calls are cancelled, what it was asked is answered', async t => {
  const service = await hostPlain(t)
  const capabilities = { elicitation: {} }
  const leaves = await new RawClient(service).connect('2025-06-18', capabilities)
  const stays = await new RawClient(service).connect('2025-06-18', capabilities)
  const response = await leaves.request('tools/call', { name: 'ask_and_forget' })
  await service.app[kSessions].delete(String(leaves.sessionId))
  await response.text()
  await until(async () => {
    const { cancelled, notes } = await callForJson(stays, 'state')
    return Array.isArray(cancelled) && cancelled.length === 1 && Array.isArray(notes) && notes.length === 1
  })
  t.match(await callForJson(stays, 'state'), { notes: [{ message: 'The client has gone.' }] })
})

t.test('subscriptions are counted, levels are told apart', async t => {
  const service = await hostPlain(t)
  const [one, two] = await clients(service, 'alice', 'alice')
  if (one === undefined || two === undefined) throw new Error()
  for (const client of [one, two]) {
    t.match(await readResponse(await client.request('resources/subscribe', { uri: 'a:b' })), { result: {} })
  }
  await (await one.request('resources/unsubscribe', { uri: 'a:b' })).text()
  t.match(await callForJson(one, 'state'), { subscribed: ['a:b'] })
  await (await two.request('resources/unsubscribe', { uri: 'a:b' })).text()
  t.match(await callForJson(one, 'state'), { subscribed: [] })

  await (await one.request('logging/setLevel', { level: 'error' })).text()
  await (await two.request('logging/setLevel', { level: 'debug' })).text()
  t.match(await callForJson(one, 'state'), { level: 'debug' }, 'the one that says most')
  for (const [client, count] of [[one, 1], [two, 2]] as const) {
    const response = await client.request('tools/call', { name: 'log', arguments: { data: 'x' } })
    t.equal((await response.text()).match(/notifications\/message/g)?.length, count)
  }
})

t.test('without sessions, a request needs no handshake', async t => {
  const service = await hostPlain(t, {}, [], { sessionMode: 'stateless' })
  const client = new RawClient(service)
  t.match(await callTool(client, 'note', { text: 'one' }), { text: '["one"]' })
  t.match(await callTool(client, 'note', { text: 'two' }), { text: '["one","two"]' })
})
