import { once } from 'node:events'
import { Agent, request, type IncomingMessage } from 'node:http'
import { setTimeout as delay } from 'node:timers/promises'
import { makeGate } from '../../src/mcp/transport/gate.js'
import { modernRequest } from '../../src/testing/modern-request.js'
import { answerCalls } from '../child.js'
import { tokenOf } from '../tokens.js'

/** How a client calls. */
export type Era = 'session' | 'session, its own stream' | 'stateless mode' | '2026-07-28' | 'HTTP+SSE' | 'bare SDK'

/** What a client got. */
export interface Got {
  /** Messages, and whether they came in order and each once. */
  count: number
  inOrder: boolean
  /** The response to the call, or how the stream ended without one. */
  end: string
  bytes: number
  /** Of the last event that has one: a client may resume after it. */
  eventId: string | undefined
  /** What a resumption brought, if there was one. */
  resumed?: Got
}

interface Pace {
  bytesPerSecond?: number
  /** Whether it reads the first bytes, and no more until `goOn`. */
  isStalled?: boolean
}

export type FloodedCalls = {
  /** Calls the tool `flood`, and reads what comes. */
  flood: (given: { url: string, era: Era, args: object } & Pace) => Promise<Got>
  /** Who has stalled reads again, and resumes if the connection was cut and the revision has that. */
  goOn: () => void
  /** Begins to make calls of another person, one after the other. */
  beginOthers: (given: { url: string, era: Era }) => void
  /** @returns how many were answered, and the milliseconds of the slowest */
  endOthers: () => Promise<{ calls: number, slowestMs: number }>
}

const META = {
  'io.modelcontextprotocol/clientInfo': { name: 'flooded', version: '1' },
  'io.modelcontextprotocol/clientCapabilities': {},
  'io.modelcontextprotocol/logLevel': 'debug'
}
const agent = new Agent({ keepAlive: false })
const OTHERS_PAUSE_MS = 5

interface Sent { method: string, url: string, headers: Record<string, string>, body?: string }

async function send ({ method, url, headers, body }: Sent): Promise<IncomingMessage> {
  const sending = request(url, { method, headers, agent })
  sending.end(body)
  return await new Promise<IncomingMessage>((resolve, reject) => {
    sending.once('response', resolve)
    sending.once('error', reject)
  })
}

async function readAll (response: IncomingMessage): Promise<string> {
  let text = ''
  for await (const chunk of response.setEncoding('utf8')) text += String(chunk)
  return text
}

/** A client of one era. */
class Client {
  readonly #era: Era
  readonly #url: string
  readonly #headers: Record<string, string>
  #sessionHeaders = {}
  #messagesUrl = ''
  /** The session's own stream, or its only one. */
  own: IncomingMessage | undefined

  constructor (era: Era, url: string, person: number) {
    this.#era = era
    this.#url = url
    this.#headers = {
      authorization: `Bearer ${tokenOf(person)}`,
      'content-type': 'application/json',
      accept: 'application/json, text/event-stream'
    }
  }

  async begin (): Promise<this> {
    if (this.#era === 'HTTP+SSE') {
      this.own = await send({ method: 'GET', url: `${this.#url}/sse`, headers: this.#headers })
      const first = String(await once(this.own, 'data'))
      this.#messagesUrl = `${this.#url}${/data: (?:http:\/\/[^/]+)?(\/\S+)/.exec(first)?.[1]}`
      // the response to `initialize` is read with the rest
      this.own.pause()
    }
    if (this.#era === 'HTTP+SSE' || this.#era.startsWith('session')) {
      const response = await this.#post('initialize', {
        protocolVersion: this.#era === 'HTTP+SSE' ? '2024-11-05' : '2025-11-25',
        capabilities: {},
        clientInfo: { name: 'flooded', version: '1' }
      })
      const sessionId = response.headers['mcp-session-id']
      if (typeof sessionId === 'string') this.#sessionHeaders = { 'mcp-session-id': sessionId }
      await readAll(response)
      await readAll(await this.#post('notifications/initialized'))
    }
    if (this.#era === 'session, its own stream') {
      this.own = await send({
        method: 'GET', url: `${this.#url}/mcp`, headers: { ...this.#headers, ...this.#sessionHeaders }
      })
    }
    return this
  }

  async #post (method: string, params: Record<string, unknown> = {}): Promise<IncomingMessage> {
    const modern = this.#era === '2026-07-28' ? modernRequest(7, method, params, META) : undefined
    const id = method.startsWith('notifications/') ? undefined : 7
    return await send({
      method: 'POST',
      url: this.#era === 'HTTP+SSE' ? this.#messagesUrl : `${this.#url}/mcp`,
      headers: {
        ...this.#headers,
        ...this.#era.startsWith('session') && { 'mcp-protocol-version': '2025-11-25' },
        ...this.#sessionHeaders,
        ...modern?.headers
      },
      body: modern?.body ?? JSON.stringify({ jsonrpc: '2.0', id, method, params })
    })
  }

  /** Continues a stream of its session. */
  async resume (eventId: string): Promise<IncomingMessage> {
    const headers = { ...this.#headers, ...this.#sessionHeaders, 'last-event-id': eventId }
    return await send({ method: 'GET', url: `${this.#url}/mcp`, headers })
  }

  async call (name: string, args: object): Promise<IncomingMessage> {
    return await this.#post('tools/call', { name, arguments: args })
  }
}

let mayGoOn = makeGate()

interface Reading extends Pace { count?: number }

/** Reads a stream, to its end or to the response to a call. */
async function read (
  stream: IncomingMessage,
  { count = Infinity, bytesPerSecond = Infinity, isStalled = false }: Reading
): Promise<Got> {
  const got: Got = { count: 0, inOrder: true, end: 'cut', bytes: 0, eventId: undefined }
  let rest = ''
  const began = performance.now()
  const take = (event: string) => {
    const [, eventId] = /^id: ?(.*)$/m.exec(event.slice(0, 200)) ?? []
    if (eventId !== undefined) got.eventId = eventId
    const [, number] = /"data":"(\d+) /.exec(event.slice(0, 400)) ?? []
    if (number !== undefined) got.inOrder &&= Number(number) === got.count++
    const [, outcome] = /"text":"(sent [^"]*)"/.exec(event) ?? /"error":\{(.*)\}/.exec(event) ?? []
    if (outcome !== undefined) got.end = outcome.trim()
  }
  try {
    for await (const chunk of stream.setEncoding('utf8')) {
      const text = String(chunk)
      got.bytes += text.length
      rest += text
      // an event may come in hundreds of pieces
      if (text.includes('\n')) {
        const events = rest.split('\n\n')
        rest = events.pop() ?? ''
        for (const event of events) take(event)
      }
      if (isStalled) await mayGoOn.promise
      if (got.end !== 'cut' || got.count >= count) break
      const early = got.bytes / bytesPerSecond * 1000 - (performance.now() - began)
      if (early > 5) await delay(early)
    }
    // JSON
    if (got.end === 'cut') take(rest)
  } catch (error) {
    got.end = `cut: ${error instanceof Error ? error.message : String(error)}`
  }
  return got
}

async function flood ({ url, era, args, ...pace }: Parameters<FloodedCalls['flood']>[0]): Promise<Got> {
  mayGoOn = makeGate()
  const client = await new Client(era, url, 0).begin()
  if (client.own === undefined) {
    const got = await read(await client.call('flood', args), pace)
    const isResumable = era === 'session' && got.end.startsWith('cut') && got.eventId !== undefined
    return isResumable ? { ...got, resumed: await read(await client.resume(got.eventId ?? ''), {}) } : got
  }
  const called = client.call('flood', args)
  const isOnly = era === 'HTTP+SSE'
  const got = await read(client.own, { ...pace, ...!isOnly && 'count' in args && { count: Number(args.count) } })
  const response = await readAll(await called)
  client.own.destroy()
  const [, outcome] = /"text":"(sent [^"]*)"/.exec(response) ?? []
  return outcome === undefined ? got : { ...got, end: outcome }
}

const others = { isOver: false, done: Promise.resolve({ calls: 0, slowestMs: 0 }) }

async function callOthers (url: string, era: Era): Promise<{ calls: number, slowestMs: number }> {
  const client = await new Client(era === 'HTTP+SSE' || era.startsWith('session') ? 'session' : era, url, 1).begin()
  let [calls, slowestMs] = [0, 0]
  while (!others.isOver) {
    const began = performance.now()
    await readAll(await client.call('other', {}))
    slowestMs = Math.max(slowestMs, performance.now() - began)
    calls++
    await delay(OTHERS_PAUSE_MS)
  }
  return { calls, slowestMs }
}

answerCalls({
  flood,
  goOn: () => { mayGoOn.open() },
  beginOthers: ({ url, era }) => {
    others.isOver = false
    others.done = callOthers(url, era)
  },
  endOthers: async () => {
    others.isOver = true
    return await others.done
  }
} satisfies FloodedCalls)
