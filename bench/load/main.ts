import type { Socket } from 'node:net'
import { answerCalls } from '../child.js'
import { TOKENS, tokenOf } from '../tokens.js'
import { Connection, openStream, type Response } from './connection.js'

/** What was done in a span of time. */
export interface Done { count: number, seconds: number }

/** What the load process is asked. One server at a time: `close` before the next. */
export type LoadCalls = {
  /** Opens keep-alive connections, each with a session. */
  connect: (options: { port: string, connections: number }) => Promise<void>
  /** Opens keep-alive connections for requests of revision 2026-07-28. */
  connectStateless: (options: { port: string, connections: number }) => Promise<void>
  /** Calls the tool `add` on every connection, one call after the other, for so long. */
  callTools: (ms: number) => Promise<Done>
  /** Opens sessions on every connection, one after the other, for so long. */
  openSessions: (ms: number) => Promise<Done>
  /** Opens sessions that do nothing, each with a stream or none. */
  openIdle: (options: { port: string, sessions: number, withStreams: boolean }) => Promise<void>
  /** Calls a tool in some of the idle sessions: they are to be there still. */
  checkIdle: () => Promise<void>
  /** Ends the idle sessions. */
  endIdle: () => Promise<void>
  close: () => void
}

interface Session { id: string, token: string }
interface Caller { connection: Connection, request: string }

const INITIALIZE =
  '{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":' +
  '{"roots":{"listChanged":true},"sampling":{},"elicitation":{}},"clientInfo":{"name":"bench","version":"1.0.0"}}}'
const INITIALIZED = '{"jsonrpc":"2.0","method":"notifications/initialized"}'
const FIRST_ID = 10_000_000
const ADD = `{"jsonrpc":"2.0","id":${FIRST_ID},"method":"tools/call","params":{"name":"add","arguments":{"l":2,"r":3}}}`
const ADD_STATELESS =
  `{"jsonrpc":"2.0","id":${FIRST_ID},"method":"tools/call","params":{"name":"add","arguments":{"l":2,"r":3},` +
  '"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28",' +
  '"io.modelcontextprotocol/clientInfo":{"name":"bench","version":"1.0.0"},' +
  '"io.modelcontextprotocol/clientCapabilities":{"sampling":{},"elicitation":{}}}}}'
const STATELESS_HEADERS = ['Mcp-Protocol-Version: 2026-07-28', 'Mcp-Method: tools/call', 'Mcp-Name: add']
const SESSION_ID = /\r\nmcp-session-id: ([^\r]+)/i
const HELD_CONNECTIONS = 16
const CHECKED = 50

const tokens = Array.from({ length: TOKENS }, (_, index) => tokenOf(index))
let nextToken = 0
let servedPort = ''
let callers: Caller[] = []
let idle: Session[] = []
let streams: Socket[] = []

interface RequestParts { session?: Session | undefined, accept?: string, headers?: readonly string[], body?: string }

function requestText (
  method: string,
  token: string,
  { session, accept, headers = [], body }: RequestParts = {}
): string {
  const lines = [
    `${method} /mcp HTTP/1.1`,
    `Host: 127.0.0.1:${servedPort}`,
    `Authorization: Bearer ${token}`,
    ...headers
  ]
  if (accept !== undefined) lines.push(`Accept: ${accept}`)
  if (session !== undefined) lines.push(`Mcp-Session-Id: ${session.id}`, 'Mcp-Protocol-Version: 2025-11-25')
  if (body !== undefined) lines.push('Content-Type: application/json', `Content-Length: ${body.length}`)
  return `${lines.join('\r\n')}\r\n\r\n${body ?? ''}`
}

const post = (body: string, token: string, parts: Pick<RequestParts, 'session' | 'headers'> = {}): string =>
  requestText('POST', token, { ...parts, accept: 'application/json, text/event-stream', body })

function expect (response: Response, status: number, ...parts: string[]): void {
  if (response.status !== status || !parts.every(part => response.body.includes(part))) {
    throw new Error(`Expected ${status} with ${parts.join(' ')}, got ${response.head}\n\n${response.body}`)
  }
}

async function openSession (connection: Connection): Promise<Session> {
  const token = tokens[nextToken++ % TOKENS] ?? ''
  const begun = await connection.request(post(INITIALIZE, token))
  expect(begun, 200, '"serverInfo"')
  const session = { id: SESSION_ID.exec(begun.head)?.[1] ?? '', token }
  expect(await connection.request(post(INITIALIZED, token, { session })), 202)
  return session
}

/** Runs `work` on `count` connections of its own. */
async function onConnections (count: number, work: (connection: Connection) => Promise<void>): Promise<void> {
  await Promise.all(Array.from({ length: count }, async () => {
    const connection = await Connection.open(servedPort)
    try {
      await work(connection)
    } finally {
      connection.close()
    }
  }))
}

/**
 * Measures work, and polls all the while instead of sleeping: to wake a core that sleeps costs the server, which writes
 * to it, up to half as much as a request, and the more the slower the server is.
 */
async function measured (work: () => Promise<number>): Promise<Done> {
  let polling: NodeJS.Immediate
  const poll = () => { polling = setImmediate(poll) }
  poll()
  const begun = performance.now()
  const count = await work().finally(() => { clearImmediate(polling) })
  return { count, seconds: (performance.now() - begun) / 1000 }
}

/** Calls on one connection until `until`; without a promise for each call, which would cost. */
async function callUntil ({ connection, request: text }: Caller, until: number): Promise<number> {
  const request = Buffer.from(text)
  const idAt = request.indexOf(String(FIRST_ID))
  return await new Promise((resolve, reject) => {
    let count = 0
    const next = () => {
      const id = String(FIRST_ID + count)
      request.write(id, idAt, 'latin1')
      connection.send(request, response => {
        try {
          expect(response, 200, `"id":${id}`, '"text":"5"')
        } catch (error) {
          reject(error)
          return
        }
        count++
        if (performance.now() < until) next()
        else resolve(count)
      }, reject)
    }
    next()
  })
}

const sum = (counts: number[]): number => counts.reduce((total, count) => total + count, 0)

answerCalls(
  {
    connect: async ({ port, connections }) => {
      servedPort = port
      for (let index = 0; index < connections; index++) {
        const connection = await Connection.open(port)
        const session = await openSession(connection)
        callers.push({ connection, request: post(ADD, session.token, { session }) })
      }
    },
    connectStateless: async ({ port, connections }) => {
      servedPort = port
      for (let index = 0; index < connections; index++) {
        callers.push({
          connection: await Connection.open(port),
          request: post(ADD_STATELESS, tokens[index] ?? '', { headers: STATELESS_HEADERS })
        })
      }
    },
    callTools: async ms =>
      await measured(async () => {
        const until = performance.now() + ms
        return sum(await Promise.all(callers.map(async caller => await callUntil(caller, until))))
      }),
    openSessions: async ms =>
      await measured(async () => {
        const until = performance.now() + ms
        return sum(
          await Promise.all(callers.map(async ({ connection }) => {
            let count = 0
            for (; performance.now() < until; count++) await openSession(connection)
            return count
          }))
        )
      }),
    openIdle: async ({ port, sessions, withStreams }) => {
      servedPort = port
      let left = sessions
      await onConnections(HELD_CONNECTIONS, async connection => {
        while (left-- > 0) {
          const session = await openSession(connection)
          idle.push(session)
          if (withStreams) {
            streams.push(
              await openStream(port, requestText('GET', session.token, { session, accept: 'text/event-stream' }))
            )
          }
        }
      })
    },
    checkIdle: async () => {
      const every = Math.ceil(idle.length / CHECKED)
      await onConnections(1, async connection => {
        for (const session of idle.filter((_session, index) => index % every === 0)) {
          expect(await connection.request(post(ADD, session.token, { session })), 200, `"id":${FIRST_ID}`, '"text":"5"')
        }
      })
    },
    endIdle: async () => {
      for (const stream of streams) stream.destroy()
      streams = []
      await onConnections(HELD_CONNECTIONS, async connection => {
        for (let session = idle.pop(); session !== undefined; session = idle.pop()) {
          expect(await connection.request(requestText('DELETE', session.token, { session })), 200)
        }
      })
    },
    close: () => {
      for (const { connection } of callers) connection.close()
      for (const stream of streams) stream.destroy()
      callers = []
      idle = []
      streams = []
    }
  } satisfies LoadCalls
)
