import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { emitted } from '../../test/support/emitted.js'

/** One HTTP response. Bodies are ASCII here, so characters are bytes. */
export interface Response {
  status: number
  head: string
  /** As on the wire: a chunked one still has its chunk sizes. */
  body: string
}

const CONTENT_LENGTH = /\r\ncontent-length: (\d+)/i

/**
 * A keep-alive connection that knows just enough of HTTP/1.1. The load must cost less than what it measures: with an
 * HTTP client of the usual kind, the client would be the bottleneck.
 */
export class Connection {
  readonly #socket: Socket
  #text = ''
  #answer: ((response: Response) => void) | undefined
  #failed: ((error: Error) => void) | undefined

  private constructor (socket: Socket) {
    this.#socket = socket
    socket.on('data', (chunk: Buffer) => { this.#onData(chunk) })
    socket.on('error', error => { this.#failed?.(error) })
    socket.on('close', () => { this.#failed?.(new Error('The server closed the connection')) })
  }

  static async open (port: string): Promise<Connection> {
    const socket = connect({ port: Number(port), host: '127.0.0.1', noDelay: true })
    await once(socket, 'connect')
    return new Connection(socket)
  }

  /** Sends one request; `answer` is called at the end of its response. */
  send (request: Uint8Array | string, answer: (response: Response) => void, failed: (error: Error) => void): void {
    this.#answer = answer
    this.#failed = failed
    this.#socket.write(request)
  }

  /** Sends one request and waits for the end of its response. */
  async request (request: string): Promise<Response> {
    return await new Promise((resolve, reject) => { this.send(request, resolve, reject) })
  }

  close (): void {
    this.#failed = undefined
    this.#socket.destroy()
  }

  #onData (chunk: Buffer): void {
    const text = this.#text += chunk.toString('latin1')
    const headEnd = text.indexOf('\r\n\r\n')
    if (headEnd < 0) return
    const head = text.slice(0, headEnd)
    const body = text.slice(headEnd + 4)
    const length = CONTENT_LENGTH.exec(head)?.[1]
    if (length === undefined ? !body.endsWith('0\r\n\r\n') : body.length < Number(length)) return
    this.#text = ''
    this.#answer?.({ status: Number(head.slice(9, 12)), head, body })
  }
}

/** Opens an event stream and holds it. */
export async function openStream (port: string, request: string): Promise<Socket> {
  const socket = connect({ port: Number(port), host: '127.0.0.1', noDelay: true })
  await once(socket, 'connect')
  socket.write(request)
  let text = ''
  while (!text.includes('\r\n\r\n')) {
    const [chunk] = await emitted(socket, 'data')
    text += String(chunk)
  }
  if (!text.startsWith('HTTP/1.1 200')) throw new Error(`A stream was refused: ${text}`)
  socket.on('error', () => {})
  socket.resume()
  return socket
}
