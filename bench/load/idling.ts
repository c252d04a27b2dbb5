import type { Socket } from 'node:net'
import { answerCalls } from '../child.js'
import { tokenOf, TOKENS } from '../tokens.js'
import { Connection, openStream } from './connection.js'

/* Sessions that are begun, and a stream of each that is held. */

export type IdleCalls = {
  /** @returns how many streams are open */
  open: (given: { port: string, count: number }) => Promise<number>
  /** @returns how many are still open */
  held: () => number
}

const AT_ONCE = 50
const streams = new Set<Socket>()
const initialize = JSON.stringify({
  jsonrpc: '2.0',
  id: 1,
  method: 'initialize',
  params: { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'idle', version: '1' } }
})

async function openAll ({ port, count }: { port: string, count: number }): Promise<number> {
  let next = 0
  const openSome = async () => {
    const connection = await Connection.open(port)
    while (next < count) {
      const token = tokenOf(next++ % TOKENS)
      const sessionId = await beginSession(connection, token)
      const stream = await openStream(port, request('GET', token, `mcp-session-id: ${sessionId}\r\n`))
      streams.add(stream)
      stream.on('close', () => { streams.delete(stream) })
    }
    connection.close()
  }
  await Promise.all(Array.from({ length: AT_ONCE }, openSome))
  return streams.size
}

async function beginSession (connection: Connection, token: string): Promise<string> {
  const { head } = await connection.request(
    request('POST', token, `content-type: application/json\r\ncontent-length: ${initialize.length}\r\n`) + initialize
  )
  const [, sessionId] = /\r\nmcp-session-id: (\S+)/i.exec(head) ?? []
  if (sessionId === undefined) throw new Error(`A session was refused: ${head}`)
  return sessionId
}

function request (method: string, token: string, headers: string): string {
  return `${method} /mcp HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer ${token}\r\n` +
    `accept: application/json, text/event-stream\r\n${headers}\r\n`
}

answerCalls({ open: openAll, held: () => streams.size } satisfies IdleCalls)
