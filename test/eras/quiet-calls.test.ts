import { EventEmitter, once } from 'node:events'
import { Server as Server1 } from '@modelcontextprotocol/sdk/server/index.js'
import { Server as Server2 } from '@modelcontextprotocol/server'
import t, { type Test } from 'tap'
import type { CreateServer } from '../../src/mcp/create-server.js'
import { FAST_PATH } from '../../src/mcp/modern/fast-path/fast-path.js'
import { requireScopes } from '../../src/mcp/scopes/required-scopes.js'
import { modernRequest } from '../../src/testing/modern-request.js'
import { startMcp } from '../support/mcp-harness.js'

/*
 * A call whose server says nothing for a while: its response becomes a stream, which no proxy takes for idle. However
 * a call is served, what goes over the wire is the same.
 */

const SILENCE_MS = 5
const streams = { silenceMs: SILENCE_MS, heartbeatMs: 3_600_000 }
const CLIENT = { 'io.modelcontextprotocol/clientCapabilities': {} }
const capabilities = { tools: {}, prompts: {}, resources: {}, completions: {} }
const info = { name: 'quiet', version: '1' }

/** What a request to a method comes to, when its server is told to `go`. */
const RESULTS: Readonly<Record<string, { params: Record<string, unknown>, result: Record<string, unknown> }>> = {
  'tools/call': { params: { name: 'any', arguments: {} }, result: { content: [{ type: 'text', text: 'done' }] } },
  'prompts/get': { params: { name: 'any' }, result: { messages: [] } },
  'resources/read': { params: { uri: 'any://thing' }, result: { contents: [] } },
  'tools/list': { params: {}, result: { tools: [] } },
  'prompts/list': { params: {}, result: { prompts: [] } },
  'resources/list': { params: {}, result: { resources: [] } },
  'resources/templates/list': { params: {}, result: { resourceTemplates: [] } },
  'completion/complete': {
    params: { ref: { type: 'ref/prompt', name: 'any' }, argument: { name: 'a', value: '' } },
    result: { completion: { values: [] } }
  },
  'made/up': { params: {}, result: { made: 'up' } }
}

/** To both SDKs, an error with a code is one for the client. */
class Failure extends Error {
  constructor (readonly code: number, message: string) {
    super(message)
  }
}

/** Responds once the test emits `go`: with a result, or an error of that kind. */
async function serve (plug: EventEmitter, method: string, signal: AbortSignal) {
  signal.addEventListener('abort', () => { plug.emit('aborted') })
  plug.emit('called', method)
  const ending = String(await once(plug, 'go'))
  if (ending === 'error') throw new Failure(-32042, 'not today')
  if (ending === 'invalid') throw new Failure(-32602, 'Invalid URL')
  if (ending === 'broken') throw new Error('it broke')
  return RESULTS[method]?.result ?? {}
}

const servers: Record<string, (plug: EventEmitter) => CreateServer> = {
  '1.x': plug => () => {
    const server = new Server1(info, { capabilities })
    server.fallbackRequestHandler = ({ method }, { signal }) => serve(plug, method, signal)
    return server
  },
  '2.x': plug => () => {
    const server = new Server2(info, { capabilities })
    server.fallbackRequestHandler = ({ method }, { mcpReq: { signal } }) => serve(plug, method, signal)
    return server
  }
}

interface Way { reuseInstances: boolean, isOpen: boolean }

const WAYS: readonly Way[] = [false, true].flatMap(reuseInstances =>
  [true, false].map(isOpen => ({ reuseInstances, isOpen }))
)

const startWay = async (t: Test, createServer: CreateServer, { reuseInstances, isOpen }: Way, silence = streams) =>
  await startMcp(t, { createServer, reuseInstances, streams: silence, ...!isOpen && { [FAST_PATH]: false } })

async function send (url: string, method: string, headers: Record<string, string> = {}): Promise<Response> {
  const request = modernRequest(7, method, RESULTS[method]?.params ?? {}, CLIENT)
  return await fetch(`${url}/mcp`, {
    ...request,
    headers: { ...request.headers, authorization: 'Bearer alice', ...headers }
  })
}

function seen (response: Response, text: string) {
  const { date, ...headers } = Object.fromEntries(response.headers)
  return { status: response.status, headers, text }
}

for (const [sdk, createServer] of Object.entries(servers)) {
  t.test(`SDK ${sdk}: after a while of silence, the response is a stream, whatever comes`, async t => {
    const plug = new EventEmitter()
    const expected = new Map<string, unknown>()
    for (const way of WAYS) {
      const { url } = await startWay(t, createServer(plug), way)
      const one = Object.keys(RESULTS).map(method => [method, 'result'] as const)
      const bad = (['error', 'invalid', 'broken'] as const).map(ending => ['tools/call', ending] as const)
      for (const [method, ending] of [...one, ...bad]) {
        const name = `${method} ${ending}`
        // the head comes while the call runs
        const response = await send(url, method)
        plug.emit('go', ending)
        const got = seen(response, await response.text())
        t.match(got, {
          status: 200,
          headers: { 'content-type': 'text/event-stream', 'cache-control': 'no-cache, no-transform' },
          text: ending === 'result'
            ? /^: keepalive\n\nevent: message\ndata: \{.*"result":.*\}\n\n$/
            : /^: keepalive\n\nevent: message\ndata: \{.*"error":.*\}\n\n$/
        }, `${name}, reused: ${way.reuseInstances}, fast path: ${way.isOpen}`)
        if (ending === 'invalid') t.match(got.text, 'params.uri: expected a URL')
        if (!expected.has(name)) expected.set(name, got)
        t.same(got, expected.get(name), 'byte for byte the same')
      }
    }
  })

  t.test(`SDK ${sdk}: a client that reads no streams gets JSON, however long it takes`, async t => {
    const plug = new EventEmitter()
    for (const way of WAYS) {
      const { url } = await startWay(t, createServer(plug), way)
      for (const accept of ['application/json', 'application/json, text/event-stream;q=0']) {
        const called = once(plug, 'called')
        const pending = send(url, 'tools/call', { accept })
        await called
        // another call, which came later, has become a stream
        const later = await send(url, 'tools/call')
        plug.emit('go', 'result')
        await later.text()
        const response = await pending
        t.match(response.headers.get('content-type'), /^application\/json/, `${accept}, fast path: ${way.isOpen}`)
        t.match(await response.json(), { id: 7, result: RESULTS['tools/call']?.result })
      }
    }
  })

  t.test(`SDK ${sdk}: comments keep the stream alive`, async t => {
    const plug = new EventEmitter()
    for (const way of WAYS) {
      const { url } = await startWay(t, createServer(plug), way, { silenceMs: 1, heartbeatMs: 2 })
      const response = await send(url, 'tools/call')
      let text = ''
      for await (const chunk of (response.body ?? new ReadableStream()).pipeThrough(new TextDecoderStream())) {
        const before = text.split(': keepalive\n\n').length
        text += String(chunk)
        const beats = text.split(': keepalive\n\n').length
        if (before <= 3 && beats > 3) plug.emit('go', 'result')
      }
      t.match(text, /^(: keepalive\n\n){3,}event: message\n/)
    }
  })

  t.test(`SDK ${sdk}: what needs a status comes before the stream, however slow the factory`, async t => {
    const plug = new EventEmitter()
    for (const way of WAYS) {
      let other: Promise<Response> | undefined
      const { url } = await startWay(t, async context => {
        const server = await createServer(plug)(context)
        // time enough for another call to become a stream
        if (other === undefined) {
          other = send(url, 'tools/list')
          await other
        }
        requireScopes(server, { any: ['more'] })
        return server
      }, way)
      const refused = await send(url, 'tools/call')
      t.equal(refused.status, 403)
      t.match(refused.headers.get('www-authenticate'), 'scope="mcp more"')
      plug.emit('go', 'result')
      await (await other)?.text()
    }
  })

  t.test(`SDK ${sdk}: a login that ends, and a client that leaves, end a call that has become a stream`, async t => {
    const plug = new EventEmitter()
    for (const way of WAYS) {
      const { url, bus } = await startWay(t, createServer(plug), way)
      const response = await send(url, 'tools/call')
      const ended = once(plug, 'aborted')
      await bus.publish('grantEnded', { grantId: 'grant-of-alice' })
      await ended
      t.match(await response.text(), /data: .*"error":\{"code":-32000,"message":"The login.*\}\n\n$/)

      const leave = new AbortController()
      const request = modernRequest(7, 'tools/call', RESULTS['tools/call']?.params ?? {}, CLIENT)
      const left = await fetch(`${url}/mcp`, {
        ...request,
        headers: { ...request.headers, authorization: 'Bearer alice' },
        signal: leave.signal
      })
      t.match(left.headers.get('content-type'), 'text/event-stream')
      const aborted = once(plug, 'aborted')
      leave.abort()
      await aborted
    }
  })
}
