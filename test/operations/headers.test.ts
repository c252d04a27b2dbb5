import { once } from 'node:events'
import { connect } from 'node:net'
import t, { type Test } from 'tap'
import { startMcp } from '../support/mcp-harness.js'
import { startService, type Service } from '../support/service.js'

/** Sends a request as it is. @returns the head of the response, and whether the server then closes the connection */
async function send (service: Pick<Service, 'url'>, head: string): Promise<{ head: string, closed: Promise<unknown> }> {
  const socket = connect(Number(new URL(service.url).port), '127.0.0.1')
  socket.on('error', () => {})
  const closed = once(socket, 'close')
  socket.write(`${head}\r\nHost: ${new URL(service.url).host}\r\n\r\n`)
  let received = ''
  for await (const chunk of socket.iterator({ destroyOnReturn: false })) {
    received += String(chunk)
    if (received.includes('\r\n\r\n')) break
  }
  socket.resume()
  return { head: received, closed }
}

async function statusOf (t: Test, service: Pick<Service, 'url'>, path: string, bytes: number): Promise<string> {
  const { head } = await send(service, `POST ${path} HTTP/1.1\r\nAuthorization: Bearer ${'x'.repeat(bytes)}`)
  t.match(head, /^HTTP\/1\.1 /)
  return head.split(' ')[1] ?? ''
}

t.test('tokens of 16 KB reach every endpoint, and headers have a bound', async t => {
  const service = await startService(t)
  for (const path of ['/mcp', '/', '/messages', '/token']) {
    t.not(await statusOf(t, service, path, 16_384), '431', path)
    t.not(await statusOf(t, service, path, 20_000), '431', path)
    t.equal(await statusOf(t, service, path, 40_000), '431', path)
  }
  t.equal(await statusOf(t, service, '/mcp', 16_384), '401', 'it is looked at, and unknown')
  const small = await startService(t, { MAX_HEADER_BYTES: '8192' })
  t.equal(await statusOf(t, small, '/mcp', 9000), '431')
})

t.test('a plugin works with what its app takes', async t => {
  const service = await startMcp(t)
  t.equal(await statusOf(t, service, '/mcp', 8000), '401')
})

t.test('idle connections are kept as long as KEEP_ALIVE_TIMEOUT_SECONDS says', async t => {
  for (const [seconds, environment] of [[72, {}], [600, { KEEP_ALIVE_TIMEOUT_SECONDS: '600' }]] as const) {
    const { head } = await send(await startService(t, environment), 'GET /healthz HTTP/1.1')
    t.match(head, new RegExp(`keep-alive: timeout=${seconds}\\r\\n`, 'i'))
  }
  const short = await send(await startService(t, { KEEP_ALIVE_TIMEOUT_SECONDS: '1' }), 'GET /healthz HTTP/1.1')
  t.match(short.head, /keep-alive: timeout=1\r\n/i)
  await short.closed
})
