import { EventEmitter, once } from 'node:events'
import type { ServerResponse } from 'node:http'
import { Readable } from 'node:stream'
import type { FastifyInstance } from 'fastify'
import { ResponseWeight } from '../../src/plugins/mcp/open-responses.js'

const LOOK_MS = 10

/** The responses to one client: how many bytes wait for it to read them. */
export class WatchedReader extends EventEmitter {
  readonly #authorization: string
  readonly #open = new Map<ServerResponse, ResponseWeight>()
  #mostBytes = 0
  #wasCalled = false

  constructor (token: string) {
    super()
    this.#authorization = `Bearer ${token}`
    setInterval(() => { this.#look() }, LOOK_MS).unref()
  }

  watch (app: FastifyInstance): void {
    app.addHook('onRequest', async ({ headers: { authorization } }, { raw }) => {
      if (authorization !== this.#authorization) return
      this.#open.set(raw, new ResponseWeight(raw))
      raw.once('close', () => {
        this.#open.delete(raw)
        this.emit('change')
      })
    })
    app.addHook('onSend', async (_request, { raw }, payload) => {
      const weight = this.#open.get(raw)
      if (weight !== undefined && payload instanceof Readable) weight.body = payload
    })
  }

  /** Begins to measure. */
  reset (): void {
    this.#mostBytes = 0
    this.#wasCalled = false
  }

  /** The tool runs. */
  isCalled (): void {
    this.#wasCalled = true
    this.emit('change')
  }

  /** Waits until the tool was called and no response is open. @returns the most bytes that waited */
  async isOver (): Promise<number> {
    while (!this.#wasCalled || this.#open.size > 0) await once(this, 'change')
    return this.#mostBytes
  }

  #look (): void {
    let bytes = 0
    for (const { unreadBytes } of this.#open.values()) bytes += unreadBytes
    this.#mostBytes = Math.max(this.#mostBytes, bytes)
  }
}
