import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import type { FastifyInstance } from 'fastify'
import { withMethod } from '../support/any-method.js'
import type { Header, RequestStep } from './steps.js'

/** What came back. */
export interface Received {
  status: number
  headers: ReadonlyMap<string, string>
  body: string
  /** Whether the body is one, and has not ended. */
  isOpen: boolean
}

/** Ends a stream that the client has kept open. */
export type Leave = () => void

/** Where requests go, and how long they may take. */
export interface Line {
  app: FastifyInstance
  port: number
  /** Takes what ends a stream that is kept open. */
  keep(leave: Leave): void
}

/** After this, a response is not going to come. */
export const DEADLINE_MS = 15_000
// of an event stream: what is to come at once has come
const STREAM_MS = 4
const UNREADABLE_MS = 40
const EVENT_STREAM = /^text\/event-stream/

/** Sends a request whose words are filled in. @returns undefined where its client went, or could not be understood */
export async function send (step: RequestStep, line: Line): Promise<Received | undefined> {
  return await (goesOverSocket(step) ? overTheWire(step, line) : injected(step, line))
}

/** Whether a request goes over a socket, where Node.js reads it first. */
export function goesOverSocket ({ via, client, target }: RequestStep): boolean {
  return via === 'socket' || client === 'goes' || !/^\/(?!\/)[\x21-\x7e]*$/.test(target)
}

async function injected (
  { method, target, headers, body, encoding, address, client }: RequestStep,
  { app, keep }: Line
): Promise<Received> {
  const named: Record<string, string> = {}
  for (const [name, value] of headers) {
    const key = name.toLowerCase()
    // no header comes with these
    const text = value.replace(/[\r\n\0]/g, ' ').trim()
    named[key] =
      key in named && key !== 'host' && key !== 'authorization' ? `${named[key]}, ${text}` : (named[key] ?? text)
  }
  const response = await withDeadline(
    app.inject({
      ...withMethod(method),
      url: target,
      headers: named,
      remoteAddress: address,
      payloadAsStream: true,
      ...(body !== undefined && { payload: Buffer.from(body, encoding) })
    })
  )
  const stream = response.stream()
  const chunks: Buffer[] = []
  let over = false
  stream.on('data', (chunk: Buffer) => {
    chunks.push(chunk)
  })
  const end = new Promise<void>(resolve => {
    for (const event of ['end', 'close', 'error']) stream.once(event, resolve)
  }).then(() => {
    over = true
  })
  const received = new Map(Object.entries(response.headers).map(([name, value]) => [name, [value].flat().join(', ')]))
  if (EVENT_STREAM.test(received.get('content-type') ?? '')) {
    await Promise.race([end, delay(STREAM_MS)])
    const leave = () => {
      response.raw.res.destroy()
    }
    if (client === 'keeps') keep(leave)
    else if (!over) leave()
  } else {
    await withDeadline(end)
  }
  return { status: response.statusCode, headers: received, body: Buffer.concat(chunks).toString(), isOpen: !over }
}

async function withDeadline<T> (work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => {
      reject(new Error(`no response within ${DEADLINE_MS} ms`))
    }, DEADLINE_MS)
  })
  try {
    return await Promise.race([work, late])
  } finally {
    clearTimeout(timer)
  }
}

// with these, the server may wait for what does not come
const FRAMING = new Set(['content-length', 'transfer-encoding', 'expect', 'connection', 'upgrade'])
const isFramed = ([name, value]: Header) => FRAMING.has(name.toLowerCase()) || /[\r\n\0]/.test(name + value)

async function overTheWire (step: RequestStep, { port, keep }: Line): Promise<Received | undefined> {
  const { method, target, headers, body = '', encoding, client } = step
  const isOdd = headers.some(isFramed) || /[\s\0]/.test(target)
  const bytes = Buffer.from(body, encoding)
  const head = [
    `${method} ${target} HTTP/1.1`,
    ...headers.map(([name, value]) => `${name}: ${value}`),
    ...(headers.some(isFramed) ? [] : ['Connection: close']),
    ...(bytes.length > 0 && !headers.some(([name]) => name.toLowerCase() === 'content-length')
      ? [`Content-Length: ${bytes.length}`]
      : [])
  ].join('\r\n')
  const socket = connect(port, '127.0.0.1')
  socket.on('error', () => {})
  await once(socket, 'connect')
  socket.write(Buffer.concat([Buffer.from(`${head}\r\n\r\n`, 'latin1'), bytes]))
  if (client === 'goes') {
    // the server has seen the request, or not
    if (bytes.length % 2 === 0) await delay(1)
    socket.destroy()
    return undefined
  }
  const received = await read(socket, isOdd ? UNREADABLE_MS : DEADLINE_MS)
  if (received?.isOpen === true && client === 'keeps') {
    keep(() => {
      socket.destroy()
    })
  } else socket.destroy()
  if (received === undefined && !isOdd) throw new Error(`no response within ${DEADLINE_MS} ms (over a socket)`)
  return received
}

async function read (socket: Socket, ms: number): Promise<Received | undefined> {
  const deadline = performance.now() + ms
  let [bytes, ended] = [Buffer.alloc(0), false]
  let wake = () => {}
  socket.on('data', chunk => {
    bytes = Buffer.concat([bytes, chunk])
    wake()
  })
  socket.once('close', () => {
    ended = true
    wake()
  })
  for (;;) {
    const response = parse(bytes, ended)
    if (response !== undefined && (!response.isOpen || ended)) return response
    const isStream = response !== undefined && EVENT_STREAM.test(response.headers.get('content-type') ?? '')
    const left = deadline - performance.now()
    if (ended || left <= 0) return undefined
    const woken = new Promise<boolean>(resolve => {
      wake = () => {
        resolve(true)
      }
    })
    const wait = new AbortController()
    const more = await Promise.race([
      woken,
      delay(isStream ? STREAM_MS : left, false, { signal: wait.signal }).catch(() => false)
    ])
    wait.abort()
    if (isStream && !more) return response
  }
}

function parse (bytes: Buffer, ended: boolean): Received | undefined {
  const text = bytes.toString('latin1')
  const headEnd = text.indexOf('\r\n\r\n')
  if (headEnd === -1) return undefined
  const [statusLine = '', ...lines] = text.slice(0, headEnd).split('\r\n')
  const status = Number(/^HTTP\/1\.1 (\d{3}) /.exec(statusLine)?.[1])
  if (Number.isNaN(status)) throw new Error(`not HTTP: ${text.slice(0, 100)}`)
  // 100 Continue comes before the response
  if (status < 200) return parse(bytes.subarray(headEnd + 4), ended)
  const headers = new Map<string, string>()
  for (const line of lines) {
    const [, name = '', value = ''] = /^([^:]+): ?(.*)$/.exec(line) ?? []
    headers.set(
      name.toLowerCase(),
      headers.has(name.toLowerCase()) ? `${headers.get(name.toLowerCase())}, ${value}` : value
    )
  }
  const rest = bytes.subarray(headEnd + 4)
  const { body, isOpen } =
    headers.get('transfer-encoding') === 'chunked'
      ? dechunked(rest)
      : whole(rest, headers.get('content-length'), status)
  return { status, headers, body: body.toString(), isOpen: isOpen && !ended }
}

function whole (bytes: Buffer, length: string | undefined, status: number): { body: Buffer; isOpen: boolean } {
  if (length === undefined) return { body: bytes, isOpen: status !== 204 && status !== 304 }
  // the response to a HEAD has the length, and no body
  return { body: bytes.subarray(0, Number(length)), isOpen: bytes.length < Number(length) }
}

function dechunked (bytes: Buffer): { body: Buffer; isOpen: boolean } {
  const chunks: Buffer[] = []
  for (let at = 0; ;) {
    const lineEnd = bytes.indexOf('\r\n', at)
    const size = lineEnd === -1 ? NaN : parseInt(bytes.toString('latin1', at, lineEnd), 16)
    if (Number.isNaN(size) || bytes.length < lineEnd + 2 + size) return { body: Buffer.concat(chunks), isOpen: true }
    if (size === 0) return { body: Buffer.concat(chunks), isOpen: false }
    chunks.push(bytes.subarray(lineEnd + 2, lineEnd + 2 + size))
    at = lineEnd + 2 + size + 2
  }
}
