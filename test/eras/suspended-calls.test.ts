import { once } from 'node:events'
import t, { type Test } from 'tap'
import type { McpTransportsOptions } from '../../src/mcp/options.js'
import { valueAt } from '../support/json.js'
import { startMcp } from '../support/mcp-harness.js'
import { connect2, textOf } from './era-clients.js'
import { EraPlug, eraServer1 } from './era-servers.js'
import { answerAll, parseAsked, type Asked } from './input-required.js'
import { post, request, type RawOptions } from '../support/raw-http.js'

const ask = { name: 'ask', arguments: { message: 'Which?' } }
const INVALID_STATE = {
  code: -32602,
  message: 'Invalid or expired requestState',
  data: { reason: 'invalid_request_state' }
}
const OF_ANOTHER = { code: -32602, message: /requestState is of another request/ }
const NOT_WAITING = { code: -32602, message: /no longer waiting for input.* without requestState/ }

async function start (t: Test, options: Partial<McpTransportsOptions> = {}) {
  const plug = new EraPlug()
  const { url, bus } = await startMcp(t, { createServer: eraServer1(plug), ...options })
  return { plug, url, bus }
}

/** Calls a tool, which asks. */
const calling = async (url: string, params: Record<string, unknown>, options?: RawOptions) =>
  parseAsked((await request(url, 'tools/call', params, options)).result)

/** What the client sends with the call to answer all that it asks. */
const answered = (asked: Asked) => ({ requestState: asked.requestState, inputResponses: answerAll(asked) })

t.test('the call continues after its question, and is not run twice', async t => {
  const { plug, url } = await start(t)
  const asked = await calling(url, ask)
  t.match(asked, {
    resultType: 'input_required',
    requestState: String,
    inputRequests: {
      'request-0': {
        method: 'elicitation/create',
        params: { mode: 'form', message: 'Which?', requestedSchema: { required: ['colour'] } }
      }
    }
  })
  const second = await request(url, 'tools/call', { ...ask, ...answered(asked) })
  t.match(second.result, {
    resultType: 'complete',
    content: [{ text: '{"action":"accept","content":{"colour":"blue"}}' }]
  })
  t.equal(plug.runs.get('ask'), 1)

  const third = await request(url, 'tools/call', { ...ask, ...answered(asked) })
  t.same(third.result, second.result, 'who repeats it gets the same response')
  const fourth = await request(url, 'tools/call', { ...ask, requestState: asked.requestState, inputResponses: {} })
  t.match(fourth.error, { code: -32602, message: /other inputResponses/ }, 'a state is good for one answer')
  t.equal(plug.runs.get('ask'), 1, 'and the call is not run again then either')
})

t.test('what is not answered is asked again, and what was not asked for is ignored', async t => {
  const { plug, url } = await start(t)
  const asked = await calling(url, { name: 'ask-all', arguments: {} })
  t.same(Object.values(asked.inputRequests).map(({ method }) => method), [
    'elicitation/create',
    'sampling/createMessage',
    'roots/list'
  ])
  const answers = answerAll(asked)
  const some = await calling(url, {
    name: 'ask-all',
    arguments: {},
    requestState: asked.requestState,
    inputResponses: { 'request-0': answers['request-0'], other: answers['request-0'] }
  })
  t.same(Object.keys(some.inputRequests), ['request-1', 'request-2'])
  const none = await calling(url, { name: 'ask-all', arguments: {}, requestState: some.requestState })
  t.same(Object.keys(none.inputRequests), ['request-1', 'request-2'])
  const old = await request(url, 'tools/call', {
    name: 'ask-all',
    arguments: {},
    requestState: some.requestState,
    inputResponses: answers
  })
  t.match(old.error, { code: -32602, message: /other inputResponses/ }, 'the state of an earlier round is over')
  const all = await request(url, 'tools/call', {
    name: 'ask-all',
    arguments: {},
    requestState: none.requestState,
    inputResponses: answers
  })
  t.match(all.result, { content: [{ text: /blue.*sampled/ }] })
  t.notOk(plug.runs.has('ask'))
})

t.test('a state is its caller\'s own, and of one call', async t => {
  const { plug, url } = await start(t)
  const { requestState, inputRequests } = await calling(url, ask)
  const retry = { ...ask, ...answered({ requestState, inputRequests }) }
  for (const token of ['bob', 'alice-elsewhere']) {
    t.match((await request(url, 'tools/call', retry, { token })).error, INVALID_STATE, token)
  }
  for (const altered of [`${requestState}x`, requestState.replace(/\.[^.]*$/, '.AAAA'), 'v1.e30.', '']) {
    t.match((await request(url, 'tools/call', { ...retry, requestState: altered })).error, INVALID_STATE, altered)
  }
  const others = { name: 'ask-twice', arguments: { message: 'Why?' } }
  for (const [member, value] of Object.entries(others)) {
    t.match((await request(url, 'tools/call', { ...retry, [member]: value })).error, OF_ANOTHER, member)
  }
  t.match((await request(url, 'prompts/get', { ...retry, name: 'ask' })).error, OF_ANOTHER, 'another method')
  t.match(
    (await request(url, 'tools/call', retry, { token: 'alice-again' })).result,
    { content: [{ text: /blue/ }] },
    'another token of the same person and client'
  )
  t.equal(plug.runs.get('ask'), 1)
})

t.test('a call whose client does not come back in time is cancelled', async t => {
  const { plug, url } = await start(t, { limits: { suspendedCallSeconds: 1 } })
  const aborted = once(plug, 'aborted')
  const asked = await calling(url, { name: 'ask-and-hang', arguments: {} })
  // the timer does not keep a process alive, which here has nothing else to do
  const alive = setInterval(() => {}, 1000)
  t.teardown(() => { clearInterval(alive) })
  await aborted
  const late = await request(url, 'tools/call', { name: 'ask-and-hang', arguments: {}, ...answered(asked) })
  t.match(late.error, { code: -32602 })
})

t.test('calls that wait are bounded in number', async t => {
  for (const limits of [{ maxSuspendedCalls: 2 }, { maxSuspendedCallsPerPerson: 2 }]) {
    const { plug, url } = await start(t, { limits })
    const call = async (token: string) => await calling(url, { name: 'ask-and-hang', arguments: {} }, { token })
    const finish = async (asked: Asked, token: string) =>
      await request(url, 'tools/call', { name: 'ask-and-hang', arguments: {}, ...answered(asked) }, { token })
    const ofBob = await call('bob')
    const first = await call('alice')
    const aborted = once(plug, 'aborted')
    const second = await call('alice')
    if (limits.maxSuspendedCalls === undefined) {
      const third = await call('alice')
      await aborted
      t.match((await finish(first, 'alice')).error, NOT_WAITING, 'the oldest of the owner is given up')
      t.match((await finish(third, 'alice')).result, { content: [{ text: /blue/ }] })
      t.match((await finish(ofBob, 'bob')).result, { content: [{ text: /blue/ }] }, 'not that of somebody else')
    } else {
      await aborted
      t.match((await finish(ofBob, 'bob')).error, NOT_WAITING, 'the oldest is given up')
      t.match((await finish(first, 'alice')).result, { content: [{ text: /blue/ }] })
    }
    t.match((await finish(second, 'alice')).result, { content: [{ text: /blue/ }] })
  }
})

t.test('a call that waits ends with the grant, and with the service', async t => {
  const { plug, url, bus } = await start(t)
  const ended = once(plug, 'aborted')
  const asked = await calling(url, { name: 'ask-and-hang', arguments: {} })
  await bus.publish('grantEnded', { grantId: 'grant-of-alice' })
  await ended
  t.match(
    (await request(url, 'tools/call', { name: 'ask-and-hang', arguments: {}, requestState: asked.requestState })).error,
    NOT_WAITING
  )

  const closing = await startMcp(t, { createServer: eraServer1(plug) })
  await request(closing.url, 'tools/call', { name: 'ask-and-hang', arguments: {} })
  const closed = once(plug, 'aborted')
  await closing.app.close()
  await closed
})

t.test('a call goes away with its client, also after it was taken up again', async t => {
  const { plug, url } = await start(t, { limits: { repeatedInputMs: 20 } })
  const asked = await calling(url, { name: 'ask-twice', arguments: {} }, { meta: { progressToken: 'first' } })
  const leave = new AbortController()
  const response = await post(url, 'tools/call', { name: 'ask-twice', arguments: {}, ...answered(asked) },
    { meta: { progressToken: 'second' }, signal: leave.signal })
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader()
  t.match(
    (await reader?.read())?.value,
    /"progressToken":"second"/,
    'progress goes by the token of the request that is open'
  )
  const aborted = once(plug, 'aborted')
  leave.abort()
  await aborted
  t.equal(plug.runs.get('ask-twice'), 1)
})

t.test('what the client did not declare, it is not asked for', async t => {
  const { plug, url } = await start(t)
  const sample = await request(url, 'tools/call', { name: 'sample', arguments: {} }, {
    capabilities: { elicitation: {} }
  })
  t.match(sample, { status: 400, error: { code: -32021, data: { requiredCapabilities: { sampling: {} } } } })
  t.equal(plug.runs.get('sample'), 1)
  const all = await request(url, 'tools/call', { name: 'ask-all', arguments: {} }, {
    capabilities: { elicitation: {}, sampling: {} }
  })
  t.match(all, { status: 400, error: { code: -32021, data: { requiredCapabilities: { roots: {} } } } })
  const elicit = await request(url, 'tools/call', ask, { capabilities: {} })
  t.match(
    elicit.result,
    { isError: true, content: [{ text: /does not support/ }] },
    'SDK 1.x checks elicitation itself: its tool fails'
  )
})

t.test('a tool that sends the user somewhere is called again afterwards', async t => {
  const { plug, url } = await start(t)
  const { result } = await request(url, 'tools/call', { name: 'pay', arguments: {} })
  t.match(result, {
    resultType: 'input_required',
    inputRequests: {
      'url-0': {
        method: 'elicitation/create',
        params: { mode: 'url', message: 'Pay first', url: 'https://pay.example/1' }
      }
    }
  })
  t.notOk(valueAt(result, 'inputRequests', 'url-0', 'params', 'elicitationId'), 'which this revision does not have')
  const client = await connect2(url, { pin: '2026-07-28' })
  t.teardown(() => client.close())
  plug.runs.delete('pay')
  t.equal(textOf(await client.call('pay')), 'paid')
  t.equal(plug.runs.get('pay'), 2)
})
