import t from 'tap'
import { createMemoryStores } from '../../../src/stores/memory/stores.js'
import { host, NO_TOKEN } from '../../attacks/eras.js'
import { initializeParams } from '../../support/mcp-harness.js'
import { next, readEvents } from '../../support/raw-http.js'
import { PLUGS } from '../policy-server.js'

/*
 * A session id in the hands of others, on the other transport, or with another token than its own: nothing runs, at
 * the replica that has the session and at another.
 */
const rules = { roles: { all: { tools: ['*'] } }, public: { tools: ['open'] } }
const body = JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name: 'open', arguments: {} } })
const as = (token: string): Record<string, string> => token === NO_TOKEN ? {} : { authorization: `Bearer ${token}` }
const JSON_TYPE = { 'content-type': 'application/json' }
const STREAM = { accept: 'text/event-stream' }
const POST = { ...JSON_TYPE, accept: 'application/json, text/event-stream' }

async function openSession (url: string, token: string): Promise<string> {
  const opened = await fetch(`${url}/mcp`, {
    method: 'POST',
    headers: { ...POST, ...as(token) },
    body: JSON.stringify({ jsonrpc: '2.0', id: 0, method: 'initialize', params: initializeParams('2025-11-25') })
  })
  await opened.text()
  return opened.headers.get('mcp-session-id') ?? ''
}

async function openSse (url: string, token: string, signal: AbortSignal): Promise<string> {
  const stream = await fetch(`${url}/sse`, { headers: { ...STREAM, ...as(token) }, signal })
  const { data } = await next(readEvents(stream))
  return new URL(data).searchParams.get('sessionId') ?? ''
}

/** What is done with a session id. */
const USES: Readonly<Record<string, (url: string, id: string, token: string) => Promise<Response>>> = {
  'POST /mcp': async (url, id, token) =>
    await fetch(`${url}/mcp`, { method: 'POST', headers: { ...POST, 'mcp-session-id': id, ...as(token) }, body }),
  'GET /mcp': async (url, id, token) =>
    await fetch(`${url}/mcp`, { headers: { ...STREAM, 'mcp-session-id': id, ...as(token) } }),
  'POST /messages': async (url, id, token) =>
    await fetch(`${url}/messages?sessionId=${id}`, { method: 'POST', headers: { ...JSON_TYPE, ...as(token) }, body }),
  'DELETE /mcp': async (url, id, token) =>
    await fetch(`${url}/mcp`, { method: 'DELETE', headers: { 'mcp-session-id': id, ...as(token) } })
}

const WHO: Readonly<Record<string, string>> = { nobody: NO_TOKEN, ann: 'ann_mcp', bob: 'bob_mcp' }
const OF_SSE = 'POST /messages'

for (const [line, makePlug] of Object.entries(PLUGS)) {
  t.test(line, async t => {
    const ran: string[] = []
    const options = {
      createServer: () => makePlug(what => ran.push(what)),
      stores: createMemoryStores({ sessionIdleSeconds: 60 }),
      policy: rules
    }
    const [{ url: here }, { url: there }] = [await host(t, options), await host(t, options)]
    const leave = new AbortController()
    t.teardown(() => { leave.abort() })
    for (const owner of ['nobody', 'ann']) {
      const token = WHO[owner] ?? ''
      const ids = {
        'a session': await openSession(here, token),
        'an HTTP+SSE session': await openSse(here, token, leave.signal)
      }
      for (const [kind, id] of Object.entries(ids)) {
        for (const [who, other] of Object.entries(WHO)) {
          for (const [use, send] of Object.entries(USES)) {
            const isItsOwn = who === owner && (use === OF_SSE) === (kind !== 'a session')
            if (isItsOwn) continue
            for (const url of [here, there]) {
              const response = await send(url, id, other)
              const text = await response.text()
              const expected = who === 'nobody' && owner !== 'nobody' ? 401 : 404
              t.strictSame([response.status, ran, text.includes('"result"')], [expected, [], false],
                `${kind} of ${owner}, ${use} as ${who}${url === there ? ', elsewhere' : ''}`)
            }
          }
        }
      }
      const own = await USES['POST /mcp']?.(there, ids['a session'], token)
      t.match(await own?.json(), { result: Object }, `${owner}: what is theirs still works`)
      t.strictSame(ran.splice(0), ['tool open'])
      const deleted = await USES['DELETE /mcp']?.(here, ids['a session'], token)
      t.equal(deleted?.status, 200)
    }
  })
}
