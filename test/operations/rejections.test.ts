import t from 'tap'
import { readEvents, next } from '../support/raw-http.js'
import { RawClient } from '../support/mcp-harness.js'
import { modernRequest } from '../../src/testing/modern-request.js'
import { runService } from './service-process.js'

// "the request that ended everything": an unknown session id with a protocol version that there is none of
t.test('no request, and no promise that the hosted server lets go of, ends the process', async t => {
  const service = await runService(t, { METRICS_TOKEN: 'a-token-for-the-metrics' })
  const token = await service.logIn()
  const client = await new RawClient(service, token).connect()
  const stream = readEvents(await client.get())
  await next(stream)
  const openStream = stream.next()

  const stranger = new RawClient(service, token)
  for (const method of ['POST', 'GET', 'DELETE'] as const) {
    for (const sessionId of ['unknown-session', client.sessionId ?? '']) {
      const response = await fetch(`${service.url}/mcp`, {
        method,
        headers: {
          ...stranger.headers(),
          'content-type': 'application/json',
          accept: 'application/json, text/event-stream',
          'mcp-session-id': sessionId,
          'mcp-protocol-version': '1999-01-01'
        },
        ...method === 'POST' && { body: '{"jsonrpc":"2.0","id":1,"method":"ping"}' }
      })
      t.equal(
        response.status,
        400,
        `${method} with the session ${sessionId === client.sessionId ? 'of this person' : 'of nobody'}`
      )
      await response.text()
    }
  }
  const lost = await client.request('tools/call', { name: 'lose', arguments: {} })
  t.match(await lost.text(), /lost/)
  const line = await service.line(/unhandled promise rejection/)
  t.match(JSON.parse(line), { level: 50, err: { message: 'let go of by the hosted server', stack: /fixture-process/ } })
  const lost2 = await fetch(
    `${service.url}/mcp`,
    withToken(
      token,
      modernRequest(1, 'tools/call', { name: 'lose', arguments: {} }, {
        'io.modelcontextprotocol/clientCapabilities': {}
      })
    )
  )
  t.match(await lost2.text(), /lost/)

  const metrics = await fetch(`${service.url}/metrics`, {
    headers: { authorization: 'Bearer a-token-for-the-metrics' }
  })
  t.match(await metrics.text(), /^process_unhandled_rejections_total 2$/m, 'those of the hosted server alone')
  t.equal((await client.request('ping')).status, 200, 'the session continues')
  const first = await Promise.race([
    openStream.then(() => 'over'),
    new Promise(resolve => {
      setImmediate(resolve, 'open')
    })
  ])
  t.equal(first, 'open', 'and so does its stream')
  service.kill('SIGTERM')
  t.equal(await service.exited, 0)
})

t.test('an uncaught exception ends the process with grace and exit code 1', async t => {
  const service = await runService(t, { SHUTDOWN_SECONDS: '1' })
  const client = await new RawClient(service, await service.logIn()).connect()
  const stream = await client.get()
  await client.request('tools/call', { name: 'explode', arguments: {} })
  t.equal(await service.exited, 1)
  t.match(await service.line(/uncaught error/), /thrown by the hosted server/)
  t.match(await stream.text(), /\nretry: 1000\n$/, 'the stream was ended, not cut')
})

function withToken (token: string, init: ReturnType<typeof modernRequest>): RequestInit {
  return { ...init, headers: { ...init.headers, authorization: `Bearer ${token}` } }
}
