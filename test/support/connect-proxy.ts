import { once } from 'node:events'
import { createServer, type IncomingHttpHeaders } from 'node:http'
import { connect } from 'node:net'
import type { Test } from 'tap'
import { addressOf } from './address-of.js'

/** An http proxy that takes CONNECT. */
export interface ConnectProxy {
  url: string
  /** What it was asked for, in order. */
  asked: string[]
  headers: IncomingHttpHeaders[]
  /** Where it leads, whatever it is asked for. */
  targetPort: number
  /** Refuses with this status; 0: it says nothing. */
  status: number
}

export async function connectProxy (t: Test, targetPort = 9): Promise<ConnectProxy> {
  const server = createServer().on('connect', (request, socket, head) => {
    proxy.asked.push(String(request.url))
    proxy.headers.push(request.headers)
    socket.on('error', () => {})
    if (proxy.status === 0) return
    if (proxy.status !== 200) {
      socket.end(`HTTP/1.1 ${proxy.status} Refused\r\ncontent-length: 0\r\n\r\n`)
      return
    }
    const onward = connect(proxy.targetPort, '127.0.0.1', () => {
      socket.write('HTTP/1.1 200 Connected\r\n\r\n')
      onward.write(head)
      onward.pipe(socket).pipe(onward)
    })
    onward.on('error', () => { socket.destroy() })
    open.add(socket)
  })
  const open = new Set<{ destroy (): unknown }>()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    for (const socket of open) socket.destroy()
    server.closeAllConnections()
    server.close()
  })
  const address = addressOf(server)
  const proxy: ConnectProxy = {
    url: `http://127.0.0.1:${address.port}`,
    asked: [],
    headers: [],
    targetPort,
    status: 200
  }
  return proxy
}
