import { Readable } from 'node:stream'
import type { ReadableStream, ReadableStreamDefaultReader } from 'node:stream/web'
import type { Server } from '@modelcontextprotocol/server'

/**
 * What one response of revision 2026-07-28 has sent and its client has not read. The SDK's streams have no bound; here
 * a server that awaits its sends is slowed to the pace of the client, and one that does not is cut off.
 */
export class Outgoing {
  readonly #maxBytes: number
  readonly #onOverflow: () => void
  /** Bytes in the SDK's stream. */
  #passed = 0
  #body: PumpedBody | undefined
  #waiting: Array<() => void> = []
  #isOver = false

  /** @param onOverflow called for a message that arrives while more than `maxBytes` wait */
  constructor (maxBytes: number, onOverflow: () => void) {
    this.#maxBytes = maxBytes
    this.#onOverflow = onOverflow
  }

  get bytes (): number {
    return this.#passed + (this.#body?.readableLength ?? 0)
  }

  /** Notes a message that is about to be sent. @returns whether it may be sent */
  takes (message: unknown): boolean {
    // a server may send one large message, but not many
    if (this.bytes > this.#maxBytes) {
      this.#onOverflow()
      return false
    }
    this.#passed += JSON.stringify(message).length
    return true
  }

  /** Resolves once there is room for more; undefined if there is room now. */
  get room (): Promise<void> | undefined {
    if (this.#isOver || this.bytes <= this.#maxBytes / 2) return undefined
    return new Promise(resolve => { this.#waiting.push(resolve) })
  }

  /** Makes the body of the response from the SDK's. */
  makeBody (stream: ReadableStream<Uint8Array>, isMeasured: boolean): Readable {
    const body = new PumpedBody(stream, isMeasured ? Infinity : this.#maxBytes, {
      onPassed: bytes => { this.#passed = Math.max(0, this.#passed - bytes) },
      onTaken: () => { this.#wake() }
    })
    this.#body = body
    return body
  }

  /** Ends the response, if it is a stream, with a message instead of whatever the SDK would still send. */
  endWith (message: string): void {
    this.#body?.endWith(`event: message\ndata: ${message}\n\n`)
  }

  /** The client no longer reads: releases the senders that wait. */
  close (): void {
    this.#isOver = true
    this.#wake()
  }

  #wake (): void {
    for (const resolve of this.#waiting.splice(0)) resolve()
  }
}

interface PumpObserver {
  /** Called for bytes that came out of the SDK's stream. */
  onPassed: (bytes: number) => void
  /** Called when the client has read everything, or has gone. */
  onTaken: () => void
}

/** Reads a web stream as fast as it comes, so that the unread bytes are known, and ends if too many wait. */
class PumpedBody extends Readable {
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>
  readonly #maxBytes: number
  readonly #observer: PumpObserver
  #isOver = false

  constructor (stream: ReadableStream<Uint8Array>, maxBytes: number, observer: PumpObserver) {
    super()
    this.#reader = stream.getReader()
    this.#maxBytes = maxBytes
    this.#observer = observer
    this.#pump().catch((error: unknown) => { this.destroy(error instanceof Error ? error : new Error(String(error))) })
  }

  /** Ends with this text. */
  endWith (text: string): void {
    if (this.#isOver || this.destroyed) return
    this.#isOver = true
    this.push(text)
    this.push(null)
    this.#reader.cancel().catch(() => {})
  }

  async #pump (): Promise<void> {
    for (;;) {
      const { value, done } = await this.#reader.read()
      if (this.destroyed || this.#isOver) return
      if (done) {
        this.#isOver = true
        this.push(null)
        return
      }
      this.#observer.onPassed(value.length)
      if (this.readableLength > this.#maxBytes) {
        this.destroy()
        return
      }
      this.push(value)
    }
  }

  override _read (): void {
    this.#observer.onTaken()
  }

  override _destroy (error: Error | null, callback: (error?: Error | null) => void): void {
    this.#observer.onTaken()
    this.#reader.cancel().catch(() => {})
    callback(error)
  }
}

const outgoingByServer = new WeakMap<Server, Outgoing>()

/** Slows what a server of SDK 2.x sends for one request over the SDK's own transport to the pace of the client. */
export function slowToReader (server: Server, outgoing: Outgoing): void {
  const isSlowed = outgoingByServer.has(server)
  outgoingByServer.set(server, outgoing)
  if (isSlowed) return
  const connect = server.connect.bind(server)
  server.connect = async transport => {
    const current = outgoingByServer.get(server) ?? outgoing
    const send = transport.send.bind(transport)
    transport.send = async (message, options) => {
      if ('method' in message && !current.takes(message)) return
      await send(message, options)
      if ('method' in message) await current.room
    }
    await connect(transport)
  }
}
