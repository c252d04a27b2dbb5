import { EventEmitter, once } from 'node:events'
import type { Test } from 'tap'
import { objectOf } from './json.js'
import { initializeParams, type McpService } from './mcp-harness.js'
import { next, parseData, readEvents } from './raw-http.js'

type Message = Record<string, unknown>
type Service = Pick<McpService, 'url'>

/** A client of HTTP+SSE whose stream is at one service, and who may post to another. It says what the test says. */
export class SseClient extends EventEmitter {
  readonly sessionId: string
  readonly token: string
  /** What came on the stream. */
  readonly received: Message[] = []
  /** Whether the stream has ended. */
  hasEnded = false
  readonly #close: () => void

  private constructor (sessionId: string, token: string, close: () => void) {
    super()
    this.sessionId = sessionId
    this.token = token
    this.#close = close
  }

  /** Opens a stream; it ends with the test. */
  static async open (t: Test, { url }: Service, token = 'alice'): Promise<SseClient> {
    const opened = new AbortController()
    t.teardown(() => { opened.abort() })
    const response = await fetch(`${url}/sse`, {
      headers: { authorization: `Bearer ${token}`, accept: 'text/event-stream' },
      signal: opened.signal
    })
    if (response.status !== 200) throw new Error(`GET /sse: ${response.status} ${await response.text()}`)
    const events = readEvents(response)
    const { data } = await next(events)
    const client = new SseClient(new URL(data).searchParams.get('sessionId') ?? '', token, () => { opened.abort() })
    client.#read(events).catch(() => {}).finally(() => {
      client.hasEnded = true
      client.emit('change')
    })
    return client
  }

  async #read (events: ReturnType<typeof readEvents>): Promise<void> {
    for await (const event of events) {
      this.received.push(objectOf(parseData(event)))
      this.emit('change')
    }
  }

  /** Closes the stream. */
  close (): void {
    this.#close()
  }

  /** Posts to a service, with the client's token or another. */
  async post ({ url }: Service, body: unknown, headers: Record<string, string> = {}): Promise<Response> {
    return await fetch(`${url}/messages?sessionId=${this.sessionId}`, {
      method: 'POST',
      headers: { authorization: `Bearer ${this.token}`, 'content-type': 'application/json', ...headers },
      body: typeof body === 'string' ? body : JSON.stringify(body)
    })
  }

  /** Posts what must be accepted. */
  async say (service: Service, body: unknown, headers: Record<string, string> = {}): Promise<void> {
    const response = await this.post(service, body, headers)
    if (response.status !== 202) throw new Error(`POST /messages: ${response.status} ${await response.text()}`)
    await response.text()
  }

  /** Initializes the session by way of a service. */
  async initialize (service: Service, protocolVersion = '2024-11-05', capabilities = {}): Promise<this> {
    const params = initializeParams(protocolVersion, capabilities)
    await this.say(service, { jsonrpc: '2.0', id: 'initialize', method: 'initialize', params })
    await this.response('initialize')
    await this.say(service, { jsonrpc: '2.0', method: 'notifications/initialized' })
    return this
  }

  /** The response to a request, now or when it comes. */
  response (id: string | number): Promise<Message> {
    return this.#first(message => message.id === id && message.method === undefined)
  }

  /** The first message of a method, now or when it comes. */
  message (method: string): Promise<Message> {
    return this.#first(message => message.method === method)
  }

  /** Waits for the end of the stream. */
  async end (): Promise<void> {
    while (!this.hasEnded) await once(this, 'change')
  }

  async #first (isIt: (message: Message) => boolean): Promise<Message> {
    for (;;) {
      const found = this.received.find(isIt)
      if (found !== undefined) return found
      if (this.hasEnded) throw new Error('the stream has ended')
      await once(this, 'change')
    }
  }
}
