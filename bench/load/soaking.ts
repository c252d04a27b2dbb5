import { setTimeout as delay } from 'node:timers/promises'
import { parseObject, valueAt } from '../../test/support/json.js'
import { tokenOf, TOKENS } from '../tokens.js'

/** What the clients of a soak have seen. */
export interface Tally {
  /** Journeys, by what they do. */
  journeys: Record<string, number>
  /** Messages counted by clients that cut and resume their streams. */
  messages: number
  cuts: number
  /** What was wrong, in words. */
  faults: string[]
}

interface SseEvent { id?: string, event?: string, data?: string }

/** Reads an SSE response. */
async function * eventsOf (response: Response): AsyncGenerator<SseEvent, undefined> {
  if (response.body === null) return
  let text = ''
  for await (const chunk of response.body.pipeThrough(new TextDecoderStream())) {
    text += chunk
    for (let end = text.indexOf('\n\n'); end >= 0; end = text.indexOf('\n\n')) {
      const fields = text.slice(0, end).split('\n').filter(line => !line.startsWith(':')).map(
        line => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(': ') + 2)]
      )
      text = text.slice(end + 2)
      if (fields.length > 0) yield Object.fromEntries(fields)
    }
  }
}

const chance = (of: number) => Math.random() < of
const between = (low: number, high: number) => low + Math.floor(Math.random() * (high - low + 1))

/** One session of Streamable HTTP. */
class Session {
  readonly #headers: Record<string, string>
  readonly #tally: Tally
  #id = 0

  constructor (readonly url: string, tally: Tally) {
    this.#tally = tally
    this.#headers = {
      authorization: `Bearer ${tokenOf(between(0, TOKENS - 1))}`,
      accept: 'application/json, text/event-stream',
      'content-type': 'application/json',
      'mcp-protocol-version': '2025-11-25'
    }
  }

  async begin (): Promise<this> {
    const response = await this.post({
      method: 'initialize',
      params: { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'soak', version: '1' } }
    })
    this.#headers['mcp-session-id'] = response.headers.get('mcp-session-id') ?? ''
    await response.text()
    await (await this.#send({ jsonrpc: '2.0', method: 'notifications/initialized' })).text()
    return this
  }

  async post (message: Record<string, unknown>, signal?: AbortSignal): Promise<Response> {
    return await this.#send({ jsonrpc: '2.0', id: ++this.#id, ...message }, signal)
  }

  async get (lastEventId: string | undefined, signal?: AbortSignal): Promise<Response> {
    return await fetch(`${this.url}/mcp`, {
      headers: { ...this.#headers, ...lastEventId !== undefined && { 'last-event-id': lastEventId } },
      ...signal && { signal }
    })
  }

  async ping (): Promise<void> {
    const response = await this.post({ method: 'ping' })
    const text = await response.text()
    if (response.status !== 200 || !text.includes('"result"')) this.#fault(`ping: ${response.status} ${text}`)
  }

  async delete (): Promise<void> {
    await (await fetch(`${this.url}/mcp`, { method: 'DELETE', headers: this.#headers })).text()
  }

  /**
   * A call that sends `to` messages, over a stream that is cut and resumed at random: each must come once, in order.
   */
  async count (to: number, intervalMs: number): Promise<void> {
    let expected = 0
    let answered = false
    await this.#cutting((_lastEventId, signal) => this.post(call('count', { to, intervalMs }), signal), message => {
      if ('result' in message || 'error' in message) {
        answered = true
        if ('error' in message) this.#fault(`count: ${JSON.stringify(message.error)}`)
      } else if (numberOf(message) !== expected++) {
        this.#fault(`count: message ${numberOf(message)} in the place of ${expected - 1}`)
      }
      return answered
    })
    if (!answered || expected !== to) {
      this.#fault(`count: ${expected} of ${to} messages, ${answered ? 'with' : 'without'} the answer`)
    }
  }

  /** The same on the standalone stream. */
  async countAside (to: number, intervalMs: number): Promise<void> {
    const counting = this.post(call('count', { to, intervalMs, aside: true })).then(response => response.text())
    let expected = 0
    await this.#cutting((_lastEventId, signal) => this.get(undefined, signal), message => {
      if (numberOf(message) !== expected++) {
        this.#fault(`aside: message ${numberOf(message)} in the place of ${expected - 1}`)
      }
      return expected === to
    })
    await counting
  }

  /** A call that would never end, cancelled. */
  async cancel (): Promise<void> {
    const id = `hang-${++this.#id}`
    const pending = this.#send({ jsonrpc: '2.0', id, ...call('hang', {}) })
    await delay(between(0, 150))
    // a notification may overtake the request it is about: then it is repeated
    const ended = pending.then(response => response.text())
    for (let over = false; !over;) {
      await (await this.#send({ jsonrpc: '2.0', method: 'notifications/cancelled', params: { requestId: id } })).text()
      over = await Promise.race([ended.then(() => true), delay(50, false)])
    }
    if ((await ended).includes('aborted')) this.#fault('cancel: a cancelled call was answered')
  }

  async #cutting (
    open: (lastEventId: string | undefined, signal: AbortSignal) => Promise<Response>,
    onMessage: (message: Record<string, unknown>) => boolean
  ): Promise<void> {
    let lastEventId: string | undefined
    for (;;) {
      const abort = new AbortController()
      const cutAfter = chance(0.7) ? between(1, 6) : Infinity
      const response =
        await (lastEventId === undefined ? open(undefined, abort.signal) : this.get(lastEventId, abort.signal))
      if (response.status !== 200) return this.#fault(`stream: ${response.status} ${await response.text()}`)
      let events = 0
      let done = false
      try {
        for await (const event of eventsOf(response)) {
          lastEventId = event.id ?? lastEventId
          if (event.data !== undefined && event.data !== '') {
            this.#tally.messages++
            done = onMessage(parseObject(event.data))
          }
          if (done || ++events >= cutAfter) abort.abort()
          if (done) break
        }
        if (!done) this.#fault('stream: ended before its time')
        return
      } catch (error) {
        if (done) return
        if (!abort.signal.aborted) throw error
        this.#tally.cuts++
      }
    }
  }

  async #send (message: Record<string, unknown>, signal?: AbortSignal): Promise<Response> {
    return await fetch(`${this.url}/mcp`, {
      method: 'POST',
      headers: this.#headers,
      body: JSON.stringify(message),
      ...signal && { signal }
    })
  }

  #fault (fault: string): void {
    this.#tally.faults.push(fault)
  }
}

/** What a counted message says: its number. */
function numberOf (message: Record<string, unknown>): number {
  return Number(valueAt(message, 'params', 'data'))
}

function call (name: string, args: Record<string, unknown>): Record<string, unknown> {
  return { method: 'tools/call', params: { name, arguments: args } }
}

/** What clients do, over and over. */
const journeys: Record<string, (url: string, tally: Tally) => Promise<void>> = {
  async 'open and abandon' (url, tally) {
    const session = await new Session(url, tally).begin()
    await session.ping()
  },
  async 'open a stream and vanish' (url, tally) {
    const session = await new Session(url, tally).begin()
    const abort = new AbortController()
    const response = await session.get(undefined, abort.signal)
    await delay(between(0, 50))
    abort.abort()
    await response.text().catch(() => {})
  },
  async 'vanish in the middle of a call' (url, tally) {
    const session = await new Session(url, tally).begin()
    const abort = new AbortController()
    const response = session.post(call('count', { to: 50, intervalMs: 10 }), abort.signal)
    await delay(between(0, 100))
    abort.abort()
    await response.then(response => response.text()).catch(() => {})
  },
  async 'count over a stream that is cut' (url, tally) {
    const session = await new Session(url, tally).begin()
    await session.count(between(10, 60), between(1, 5))
    await session.delete()
  },
  async 'count on the standalone stream' (url, tally) {
    const session = await new Session(url, tally).begin()
    await session.countAside(between(10, 60), between(1, 5))
    await session.delete()
  },
  async 'cancel calls' (url, tally) {
    const session = await new Session(url, tally).begin()
    for (let i = 0; i < 3; i++) await session.cancel()
    if (chance(0.5)) await session.delete()
  },
  async 'come back after a while' (url, tally) {
    const session = await new Session(url, tally).begin()
    await session.ping()
    await delay(between(1000, 4000))
    await session.count(5, 1)
    await delay(between(1000, 4000))
    await session.ping()
  },
  async 'HTTP+SSE' (url, tally) {
    const headers = { authorization: `Bearer ${tokenOf(between(0, TOKENS - 1))}`, accept: 'text/event-stream' }
    const abort = new AbortController()
    const events = eventsOf(await fetch(`${url}/sse`, { headers, signal: abort.signal }))
    const endpoint = new URL((await events.next()).value?.data ?? '')
    const to = between(10, 40)
    const send = async (message: Record<string, unknown>) =>
      await (await fetch(url + endpoint.pathname + endpoint.search, {
        method: 'POST',
        headers: { ...headers, 'content-type': 'application/json' },
        body: JSON.stringify({ jsonrpc: '2.0', ...message })
      })).text()
    await send({
      id: 1,
      method: 'initialize',
      params: { protocolVersion: '2024-11-05', capabilities: {}, clientInfo: { name: 'soak', version: '1' } }
    })
    await send({ method: 'notifications/initialized' })
    await send({ id: 2, ...call('count', { to, intervalMs: 1 }) })
    let expected = 0
    for await (const { data = '' } of events) {
      const message = parseObject(data)
      if (message.id === 1) continue
      if (message.id === 2) break
      tally.messages++
      if (numberOf(message) !== expected++) {
        tally.faults.push(`HTTP+SSE: message ${numberOf(message)} in the place of ${expected - 1}`)
      }
    }
    if (expected !== to) tally.faults.push(`HTTP+SSE: ${expected} of ${to} messages`)
    abort.abort()
  }
}

/** Lets `clients` clients go on random journeys until `until` (milliseconds since the epoch). */
export async function soak (url: string, clients: number, until: number, tally: Tally): Promise<void> {
  const names = Object.keys(journeys)
  const wander = async () => {
    while (Date.now() < until) {
      const name = names[between(0, names.length - 1)] ?? ''
      try {
        await journeys[name]?.(url, tally)
      } catch (error) {
        tally.faults.push(`${name}: ${error instanceof Error ? error.stack : String(error)}`)
        await delay(100)
      }
      tally.journeys[name] = (tally.journeys[name] ?? 0) + 1
    }
  }
  await Promise.all(Array.from({ length: clients }, wander))
}
