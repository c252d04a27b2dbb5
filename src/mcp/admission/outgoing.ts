import { Readable } from 'node:stream'
import type { ReadableStream, ReadableStreamDefaultReader } from 'node:stream/web'
import type { Server } from '@modelcontextprotocol/server'

/**
 * What one response of revision 2026-07-28 has to say and its client has not taken. The SDK's streams take as much as
 * comes; here a sender that waits is slowed to the pace of its reader, and one that does not is cut off.
 */
export class Outgoing {
  readonly #maxBytes: number
  readonly #onOverflow: () => void
  /** Bytes in the SDK's stream. */
  #passed = 0
  #body: PumpedBody | undefined
  #waiting: Array<() => void> = []
  #isOver = false

  /** @param onOverflow called where more than `maxBytes` wait and still more comes */
  constructor (maxBytes: number, onOverflow: () => void) {
    this.#maxBytes = maxBytes
    this.#onOverflow = onOverflow
  }

  get bytes (): number {
    return this.#passed + (this.#body?.readableLength ?? 0)
  }

  /** Notes a message that is to be sent. @returns whether it may be */
  takes (message: unknown): boolean {
    // one large message is the server's to send; many are not
    if (this.bytes > this.#maxBytes) {
      this.#onOverflow()
      return false
    }
    this.#passed += JSON.stringify(message).length
    return true
  }

  /** Resolves once there is room for more; undefined where there is. */
  get room (): Promise<void> | undefined {
    if (this.#isOver || this.bytes <= this.#maxBytes / 2) return undefined
    return new Promise(resolve => { this.#waiting.push(resolve) })
  }

  /** The body of the response, out of the SDK's. */
  bodyOf (stream: ReadableStream<Uint8Array>, isMeasured: boolean): Readable {
    const body = new PumpedBody(stream, isMeasured ? Infinity : this.#maxBytes, {
      onPassed: bytes => { this.#passed = Math.max(0, this.#passed - bytes) },
      onTaken: () => { this.#wake() }
    })
    this.#body = body
    return body
  }

  /** Ends the stream, if the response is one, with a message in place of all that the SDK would still send. */
  endWith (message: string): void {
    this.#body?.endWith(`event: message\ndata: ${message}\n\n`)
  }

  /** Nobody reads it any longer: who waits goes on. */
  close (): void {
    this.#isOver = true
    this.#wake()
  }

  #wake (): void {
    for (const resolve of this.#waiting.splice(0)) resolve()
  }
}

interface PumpObserver {
  /** Bytes have come out of the SDK's stream. */
  onPassed: (bytes: number) => void
  /** The reader has taken what there was, or has gone. */
  onTaken: () => void
}

/** Takes what is in a stream of the web as it comes, so that its length is known, and ends where too much waits to be read. */
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

  /** Says the last word. */
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

/** Slows what a server of SDK 2.x sends for one request, by the SDK's own transport, to the pace of its reader. */
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
