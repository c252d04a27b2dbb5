import { RELATED_TASK_META_KEY } from '@modelcontextprotocol/server'
import type { Test } from 'tap'
import { modernRequest } from '../../src/testing/modern-request.js'
import { parseObject } from '../support/json.js'
import { RawClient } from '../support/mcp-harness.js'
import { post as postModern } from '../support/raw-http.js'
import { ASK, call, CHOSEN, Holder, type Ids } from './given-out.js'
import { tokenOf, type Place } from './two-servers.js'

/*
 * What one server has given out, brought to another server of the same process, with a token that is good there: by
 * the same person and by another, at the same replica and at another. The response is that to an id which nobody has
 * given out, and where the id belongs, everything goes on.
 */
interface Attacker {
  url: string
  token: string
  /** With a session of its own there, and without. */
  mine: RawClient
  none: RawClient
}

type Use = (attacker: Attacker, ids: Ids) => Promise<Response>

const bearer = (token: string): Record<string, string> => token === '' ? {} : { authorization: `Bearer ${token}` }
const ANSWER = { action: 'accept', content: { colour: 'red' } }
const inSession = ({ url, token }: Attacker, session: string) => {
  const client = new RawClient({ url }, token)
  client.sessionId = session
  client.protocolVersion = '2025-11-25'
  return client
}
const messages = async ({ url, token }: Attacker, session: string) =>
  await fetch(`${url}/messages?sessionId=${encodeURIComponent(session)}`, {
    method: 'POST',
    headers: { ...bearer(token), 'content-type': 'application/json' },
    body: '{"jsonrpc":"2.0","id":1,"method":"tools/list"}'
  })
const remove = async (attacker: Attacker, session: string) =>
  await fetch(`${attacker.url}/mcp`, { method: 'DELETE', headers: inSession(attacker, session).headers() })
const cancelled = (requestId: string) => ({ jsonrpc: '2.0', method: 'notifications/cancelled', params: { requestId } })

const NOT_FOUND = { status: 404, code: -32001 }
const ACCEPTED = { status: 202 }
const WITHOUT_SESSION = { status: 400, code: -32000 }
const NO_SUCH_TASK = { status: 200, code: -32602 }
const INVALID_STATE = { status: 200, code: -32602 }

const USES: ReadonlyArray<[what: string, use: Use, expected: { status: number, code?: number }]> = [
  ['a session: POST', (a, { session }) => inSession(a, session).request('tools/list'), NOT_FOUND],
  ['a session: a notification', (a, ids) => inSession(a, ids.session).post(cancelled(CHOSEN.hanging)), NOT_FOUND],
  ['a session: the answer that it waits for', (a, { session, elicitation: id }) =>
    inSession(a, session).post({ jsonrpc: '2.0', id, result: ANSWER }), NOT_FOUND],
  ['a session: a task', (a, { session, task }) =>
    inSession(a, session).request('tasks/get', { taskId: task }), NOT_FOUND],
  ['a session: GET', (a, { session }) => inSession(a, session).get(), NOT_FOUND],
  ['a session: GET after an event', (a, { session, event }) =>
    inSession(a, session).get({ 'last-event-id': event }), NOT_FOUND],
  ['a session: DELETE', (a, { session }) => remove(a, session), NOT_FOUND],
  ['a session: as one of HTTP+SSE', (a, { session }) => messages(a, session), NOT_FOUND],
  ['a session without login', (a, { openSession }) => inSession(a, openSession).request('tools/list'), NOT_FOUND],
  ['a session without login: GET', (a, { openSession }) => inSession(a, openSession).get(), NOT_FOUND],
  ['a session without login: DELETE', (a, { openSession }) => remove(a, openSession), NOT_FOUND],
  ['a session of HTTP+SSE', (a, { sseSession }) => messages(a, sseSession), NOT_FOUND],
  ['a session of HTTP+SSE: as one of HTTP', (a, ids) => inSession(a, ids.sseSession).request('ping'), NOT_FOUND],
  ['a session of HTTP+SSE: DELETE', (a, { sseSession }) => remove(a, sseSession), NOT_FOUND],
  ['an event: without a session', ({ none }, { event }) => none.get({ 'last-event-id': event }), WITHOUT_SESSION],
  ['an event: in a session', ({ mine }, { event }) => mine.get({ 'last-event-id': event }), { status: 204 }],
  ['what the server asks: in a session', ({ mine }, { elicitation: id }) =>
    mine.post({ jsonrpc: '2.0', id, result: ANSWER }), ACCEPTED],
  ['what the server asks: refused', ({ mine }, { elicitation: id }) =>
    mine.post({ jsonrpc: '2.0', id, error: { code: -1, message: 'no' } }), ACCEPTED],
  ['what the server asks: its progress', ({ mine }, { elicitation: progressToken }) =>
    mine.post({ jsonrpc: '2.0', method: 'notifications/progress', params: { progressToken, progress: 1 } }), ACCEPTED],
  ['a call: cancelled', ({ mine }) => mine.post(cancelled(CHOSEN.hanging)), ACCEPTED],
  ['a call that asks: cancelled', ({ mine }) => mine.post(cancelled(CHOSEN.asking)), ACCEPTED],
  ['a task', ({ mine }, { task }) => mine.request('tasks/get', { taskId: task }), NO_SUCH_TASK],
  ['a task: its result', ({ mine }, { task }) => mine.request('tasks/result', { taskId: task }), NO_SUCH_TASK],
  ['a task: cancelled', ({ mine }, { task }) => mine.request('tasks/cancel', { taskId: task }), NO_SUCH_TASK],
  ['a task: as the related one', ({ mine }, { task }) =>
    mine.request('tools/list', { _meta: { [RELATED_TASK_META_KEY]: { taskId: task } } }), { status: 200 }],
  ['a task: told of', ({ mine }, { task }) => mine.post({
    jsonrpc: '2.0',
    method: 'notifications/tasks/status',
    params: { taskId: task, status: 'cancelled', ttl: 1, createdAt: '', lastUpdatedAt: '' }
  }), ACCEPTED],
  ['a cursor', ({ mine }, { cursor }) => mine.request('tasks/list', { cursor }), { status: 200 }],
  ['what waits for input', ({ url, token }, { requestState }) =>
    postModern(url, 'tools/call', { ...ASK, requestState, inputResponses: { 1: ANSWER } }, { token }), INVALID_STATE],
  ['what waits for input: without any', ({ url, token }, { requestState }) =>
    postModern(url, 'tools/call', { ...ASK, requestState }, { token }), INVALID_STATE],
  ['a subscription: cancelled', async ({ url, token }) => {
    const { headers, body } = modernRequest(7, 'notifications/cancelled', { requestId: 7 }, {})
    const { id: _, ...message } = parseObject(body)
    return await fetch(`${url}/mcp`, {
      method: 'POST',
      headers: { ...headers, ...bearer(token) },
      body: JSON.stringify(message)
    })
  }, ACCEPTED]
]

/** Ids that are alike, and that nobody has given out. */
function madeUp (ids: Ids): Ids {
  const other = (id: string) => id.replaceAll(/[a-z]/g, letter => letter === 'x' ? 'y' : 'x')
  return {
    session: other(ids.session),
    sseSession: other(ids.sseSession),
    openSession: ids.openSession.replace(/[^.]+$/, other),
    event: ids.event.replace(/^[^:]+/, other),
    elicitation: other(ids.elicitation),
    task: ids.task.replaceAll(/[a-f]/g, '0'),
    cursor: '99999',
    requestState: other(ids.requestState)
  }
}

/** What a client is told, less the ids that it has sent itself. */
async function told (response: Response, ids: Ids) {
  let text = await response.text()
  for (const [name, id] of Object.entries<string>({ ...ids })) {
    if (id.length > 8) text = text.replaceAll(id, `<${name}>`)
  }
  text = text.replaceAll(/"id":\d+/g, '"id":0').replace(/"request_id":"[^"]+"/, '')
  const code = /"error":\{"code":(-\d+)/.exec(text)?.[1]
  return {
    status: response.status,
    ...code !== undefined && { code: Number(code) },
    text,
    challenge: response.headers.get('www-authenticate')
  }
}

/** Brings all that the first of some replicas has given out to the other server of each. */
export async function checkGivenOut (t: Test, places: readonly [Place, ...Place[]]): Promise<void> {
  const [first] = places
  const holder = await Holder.open(t, first, 'notes', 'alice')
  for (const [index, place] of places.entries()) {
    for (const person of ['alice', 'bob', 'nobody']) {
      const [{ url }, token] = [place.at('files'), person === 'nobody' ? '' : tokenOf(person, 'files')]
      const [mine, none] = [await new RawClient({ url }, token).connect(), new RawClient({ url }, token)]
      for (const [what, use, expected] of USES) {
        const line = `${what}, by ${person}, at replica ${index}`
        const brought = await told(await use({ url, token, mine, none }, holder.ids), holder.ids)
        // much is not for those who have not logged in
        if (person !== 'nobody' || brought.status !== 401) t.match(brought, expected, line)
        const up = madeUp(holder.ids)
        t.strictSame(await told(await use({ url, token, mine, none }, up), up), brought, `${line}: as if made up`)
      }
      t.equal((await call(mine, 'state', {})).status, 200, 'its own session goes on')
    }
  }
  await holder.check(t)
}
