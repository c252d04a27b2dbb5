import { EventEmitter, once } from 'node:events'
import t from 'tap'
import { parseObject } from '../support/json.js'
import { RawClient } from '../support/mcp-harness.js'
import {
  ask,
  askToRegister,
  bearer,
  callMcp,
  LOOPBACK_URI,
  newCode,
  newTokens,
  post,
  redeem,
  parseTokens,
  type Client
} from '../support/oauth-flow.js'
import { runService } from '../support/service.js'
import { kBroker } from '../../src/plugins/oauth/broker.js'

const lines: Array<Record<string, unknown>> = []
/** Tells of each request's line by the request's id. */
const logged = new EventEmitter()
const write = (text: string) => {
  const line = parseObject(text)
  lines.push(line)
  if (line.msg === 'request') logged.emit(String(line.reqId))
}
const service = await runService({ LOG_LEVEL: 'info' }, {}, { logStream: { write } })
t.teardown(() => service.close())
const { app, url } = service

const linesOf = (requestId: string | null) => lines.filter(({ reqId, msg }) => reqId === requestId && msg === 'request')
const UUID = /^[\da-f]{8}-[\da-f]{4}-4[\da-f]{3}-[\da-f]{4}-[\da-f]{12}$/

/** Registers a client and logs somebody in for it. */
async function loggedIn () {
  const registered = await askToRegister(service, { redirect_uris: [LOOPBACK_URI], token_endpoint_auth_method: 'none' })
  const client: Client = { clientId: registered.member('client_id') ?? '', redirectUri: LOOPBACK_URI }
  return { client, ...await newTokens(service, client) }
}

t.test('a request is one line, with its route, its outcome and who made it', async t => {
  const { client, accessToken } = await loggedIn()
  const called = await callMcp(service, bearer(accessToken))
  const id = called.headers.get('x-request-id')
  t.match(id, UUID)
  const [line, ...more] = linesOf(id)
  t.strictSame(more, [])
  t.match(line, {
    level: 30,
    method: 'POST',
    route: '/mcp',
    statusCode: 200,
    ms: Number,
    ip: '127.0.0.1',
    clientId: client.clientId,
    grantId: /^mcpg_/
  })
  t.notMatch(JSON.stringify(line), accessToken)

  const redeemed = await redeem(service, client, await newCode(service, client))
  t.ok(parseTokens(redeemed))
  t.match(linesOf(redeemed.headers.get('x-request-id')), [{
    route: '/token',
    statusCode: 200,
    clientId: client.clientId
  }])

  const missing = await ask(service, `${url}/nothing/here?code=secret`)
  t.match(linesOf(missing.headers.get('x-request-id')), [{ path: '/nothing/here', statusCode: 404, route: undefined }])
  t.strictSame(
    lines.filter(({ msg }) => typeof msg === 'string' && /incoming|completed|not found/.test(msg)),
    [],
    'Fastify adds none of its own'
  )

  lines.length = 0
  await ask(service, `${url}/healthz`)
  t.strictSame(lines, [], 'probes are not worth a line')
})

t.test('the id is ours, whatever the client says', async t => {
  const { headers } = await app.inject({ url: '/', headers: { 'x-request-id': 'mine', 'request-id': 'mine' } })
  t.match(headers['x-request-id'], UUID)
})

t.test('a client that leaves its stream is one line, too', async t => {
  const { accessToken } = await loggedIn()
  const client = await new RawClient({ url }, accessToken).connect()
  const left = new AbortController()
  const response = await client.get({}, left.signal)
  const id = response.headers.get('x-request-id')
  const written = once(logged, String(id))
  left.abort()
  await written
  t.match(linesOf(id), [{ method: 'GET', route: '/mcp', statusCode: 200, clientLeft: true }])
})

t.test('errors tell the id that the log has', async t => {
  const token = await post(service, '/token', {
    grant_type: 'refresh_token',
    refresh_token: 'none',
    client_id: 'nobody'
  })
  t.equal(token.member('error'), 'invalid_client')
  t.equal(token.member('request_id'), token.headers.get('x-request-id'))
  const unauthorized = await callMcp(service, bearer('nonsense'))
  t.equal(unauthorized.member('request_id'), unauthorized.headers.get('x-request-id'))
  const page = await ask(service, `${url}/authorize?client_id=nobody`)
  t.match(page.text, `id ${page.headers.get('x-request-id')}`)
})

t.test('a failure on our side shows the id, and the log the reason', async t => {
  const { accessToken } = await loggedIn()
  t.intercept(app[kBroker].accessTokens, 'verify', { value: async () => { throw new Error('on fire') } })
  const failed = await callMcp(service, bearer(accessToken))
  const id = failed.headers.get('x-request-id')
  t.equal(failed.status, 500)
  t.strictSame(JSON.parse(failed.text), {
    jsonrpc: '2.0',
    id: null,
    error: { code: -32603, message: `Internal error (request id ${id})` }
  })
  t.match(lines.find(({ reqId, level }) => reqId === id && level === 50), { err: { message: 'on fire' } })
})
