import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import t from 'tap'
import { readEvents, next } from '../support/raw-http.js'
import { RawClient } from '../support/mcp-harness.js'
import { newTokens, register } from '../support/oauth-flow.js'
import { startTarget } from '../support/target.js'

/** A request that never comes to its end. @returns all that came back, once the socket has closed */
async function trickle (port: number, head: string): Promise<string> {
  const socket: Socket = connect(port, '127.0.0.1')
  let received = ''
  socket.on('data', (chunk: Buffer) => { received += chunk.toString() })
  socket.on('error', () => {})
  await once(socket, 'connect')
  socket.write(head)
  // a byte now and then: no silence is what ends it
  const timer = setInterval(() => { if (socket.writable) socket.write('x') }, 100)
  await once(socket, 'close')
  clearInterval(timer)
  return received
}

const length = 'Content-Length: 5000\r\n'
const requests: Record<string, (host: string, token: string) => string> = {
  'headers of GET /': host => `GET / HTTP/1.1\r\nHost: ${host}\r\nX-Slow: `,
  'body of POST /register': host =>
    `POST /register HTTP/1.1\r\nHost: ${host}\r\nContent-Type: application/json\r\n${length}\r\n{`,
  'body of POST /token': host =>
    `POST /token HTTP/1.1\r\nHost: ${host}\r\nContent-Type: application/x-www-form-urlencoded\r\n${length}\r\na`,
  'body of POST /mcp': (host, token) =>
    `POST /mcp HTTP/1.1\r\nHost: ${host}\r\nAuthorization: Bearer ${token}\r\n` +
      `Accept: application/json, text/event-stream\r\nContent-Type: application/json\r\n${length}\r\n{`
}

t.test('a request that does not arrive in time gets 408, and streams continue', async t => {
  const target = await startTarget(t, { REQUEST_TIMEOUT_SECONDS: '1' })
  const { accessToken } = await newTokens(target, await register(target))
  const origin = await target.app.listen({ port: 0, host: '127.0.0.1' })
  const port = Number(new URL(origin).port)
  const host = new URL(target.url).host
  const client = await new RawClient({ url: origin }, accessToken).connect().catch(() => undefined)
  const stream = client && readEvents(await client.get())
  if (stream !== undefined) await next(stream)
  let isOver = false
  const ended = stream?.next().then(() => { isOver = true })

  const slow = Object.entries(requests).flatMap(([name, head]) =>
    Array.from({ length: 50 }, async () => ({ name, received: await trickle(port, head(host, accessToken)) }))
  )
  const all = await Promise.all(slow)
  for (const name of Object.keys(requests)) {
    const mine = all.filter(one => one.name === name)
    t.ok(
      mine.every(({ received }) => received.startsWith('HTTP/1.1 408 ')),
      `50 of ${name}: ${mine.find(({ received }) => !received.startsWith('HTTP/1.1 408 '))?.received ?? '408'}`
    )
  }
  t.ok(client, 'a session was there')
  t.notOk(isOver, 'its stream, which is older than all of them, is open')
  t.equal((await client?.request('ping'))?.status, 200)
  await target.app.close()
  await ended
})
