import { setTimeout as delay } from 'node:timers/promises'
import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { SSEClientTransport, SseError } from '@modelcontextprotocol/sdk/client/sse.js'
import { ErrorCode, McpError } from '@modelcontextprotocol/sdk/types.js'
import type { Login } from '../support/raw-session.js'

/** How a call ended. */
export type SseOutcome =
  | 'result'
  /** A JSON-RPC error on the stream. */
  | 'error'
  /** `POST /messages` failed: its client was told so. */
  | 'refused'
  /** The stream ended, and every call of it. */
  | 'ended with its stream'
  /** It was accepted, the stream is open, and nothing came. */
  | 'LOST'

export interface SseCall {
  call: string
  outcome: SseOutcome
  /** What refused it. */
  text: string
}

/** A stream of a client, from its begin to its end. */
interface SseStream {
  client: Client
  transport: SSEClientTransport
  hasEnded: boolean
}

const PATIENCE_MS = 20_000
const AGAIN_MS = 250

let calls = 0

/** A client of SDK 1.x over HTTP+SSE that calls the tool `work` all the time, and begins again if its stream ends. */
export class SseLoad {
  readonly calls: SseCall[] = []
  /** Milliseconds since the epoch: when streams ended by themselves. */
  readonly ends: number[] = []
  /** Where the last stream that ended had its messages posted. */
  lastEndpoint: string | undefined
  /** Responses that came again. */
  doubled = 0
  readonly #url: string
  readonly #login: Login
  readonly #thinkMs: number
  #endpoint: string | undefined
  #stopped = false

  constructor (url: string, login: Login, thinkMs: number) {
    this.#url = url
    this.#login = login
    this.#thinkMs = thinkMs
  }

  /** Calls until it is stopped. */
  async run (): Promise<void> {
    while (!this.#stopped) {
      const stream = await this.#open()
      if (stream === undefined) {
        await delay(AGAIN_MS)
        continue
      }
      await Promise.all([this.#callAll(stream, 0, 0), this.#callAll(stream, 1000, 4)])
      await stream.client.close()
    }
  }

  stop (): void {
    this.#stopped = true
  }

  /** Posts to a session that has ended with its stream. */
  async postTo (endpoint: string): Promise<number> {
    const response = await fetch(endpoint, {
      method: 'POST',
      headers: { authorization: `Bearer ${this.#login.accessToken}`, 'content-type': 'application/json' },
      body: '{"jsonrpc":"2.0","id":"after","method":"ping"}'
    })
    await response.text()
    return response.status
  }

  async #open (): Promise<SseStream | undefined> {
    const transport = new SSEClientTransport(new URL(`${this.#url}/sse`), {
      requestInit: { headers: { authorization: `Bearer ${this.#login.accessToken}` } },
      fetch: async (url, init) => {
        if (init?.method === 'POST') this.#endpoint = url.toString()
        return await fetch(url, init)
      }
    })
    const stream: SseStream = { client: new Client({ name: 'load', version: '1' }), transport, hasEnded: false }
    try {
      await stream.client.connect(transport, { timeout: PATIENCE_MS })
    } catch {
      await stream.client.close()
      return undefined
    }
    this.#watch(stream)
    return stream
  }

  #watch (stream: SseStream): void {
    const { client, transport } = stream
    const answered = new Set<unknown>()
    const receive = transport.onmessage
    transport.onmessage = message => {
      if (!('method' in message)) {
        if (answered.has(message.id)) this.doubled++
        answered.add(message.id)
      }
      receive?.(message)
    }
    client.onerror = error => {
      if (!(error instanceof SseError) || stream.hasEnded || this.#stopped) return
      stream.hasEnded = true
      this.ends.push(Date.now())
      this.lastEndpoint = this.#endpoint
      client.close().catch(() => {})
    }
  }

  async #callAll (stream: SseStream, ms: number, steps: number): Promise<void> {
    while (!this.#stopped && !stream.hasEnded) {
      await this.#call(stream, ms, steps)
      await delay(Math.random() * 2 * this.#thinkMs)
    }
  }

  async #call (stream: SseStream, ms: number, steps: number): Promise<void> {
    const call = `call-${calls++}`
    try {
      await stream.client.callTool({ name: 'work', arguments: { call, ms, steps } }, undefined, {
        timeout: PATIENCE_MS,
        onprogress: () => {}
      })
      this.calls.push({ call, outcome: 'result', text: '' })
    } catch (error) {
      this.calls.push({ call, outcome: outcomeOf(error, stream), text: error instanceof Error ? error.message : '' })
    }
  }
}

function outcomeOf (error: unknown, { hasEnded }: SseStream): SseOutcome {
  if (!(error instanceof McpError)) return hasEnded ? 'ended with its stream' : 'refused'
  if (error.code === Number(ErrorCode.RequestTimeout)) return 'LOST'
  return hasEnded && error.message.includes('Connection closed') ? 'ended with its stream' : 'error'
}
