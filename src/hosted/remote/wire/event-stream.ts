import { RemoteError } from './remote-error.js'

/** An event of `text/event-stream` (HTML Living Standard 9.2). */
export interface StreamEvent {
  /** Absent: the event has none. */
  id: string | undefined
  type: string
  /** Empty: it only has an id, or a time to wait. */
  data: string
  /** How long to wait before the stream is asked for again. */
  retryMs: number | undefined
}

/** Fields of an event until its end. */
class Fields {
  #data: string[] = []
  #bytes = 0
  #type = ''
  #id: string | undefined
  #retryMs: number | undefined

  /** @returns how many characters there are */
  add (line: string): number {
    const colon = line.indexOf(':')
    const name = colon === -1 ? line : line.slice(0, colon)
    const value = colon === -1 ? '' : line.slice(colon + 1).replace(/^ /, '')
    if (name === 'data') {
      this.#data.push(value)
      this.#bytes += value.length
    } else if (name === 'event') this.#type = value
    else if (name === 'id' && !value.includes('\0')) this.#id = value
    else if (name === 'retry' && /^\d{1,9}$/.test(value)) this.#retryMs = Number(value)
    return this.#bytes
  }

  /** @returns undefined if there was nothing */
  take (): StreamEvent | undefined {
    const [data, id, retryMs] = [this.#data.join('\n'), this.#id, this.#retryMs]
    const event = data === '' && id === undefined && retryMs === undefined
      ? undefined
      : { id, type: this.#type === '' ? 'message' : this.#type, data, retryMs }
    this.#data = []
    this.#bytes = 0
    this.#type = ''
    this.#id = undefined
    this.#retryMs = undefined
    return event
  }
}

/**
 * Reads events; the next one is read when it is asked for.
 * @param maxLength of the data of one event, in characters
 * @throws {RemoteError} (rejects with it) if one is longer
 */
export async function * readEvents (chunks: AsyncIterable<Uint8Array>, maxLength: number): AsyncGenerator<StreamEvent> {
  const decoder = new TextDecoder()
  const fields = new Fields()
  let [line, endsWithReturn] = ['', false]
  for await (const chunk of chunks) {
    let text = decoder.decode(chunk, { stream: true })
    if (text === '') continue
    if (endsWithReturn && text.startsWith('\n')) text = text.slice(1)
    endsWithReturn = text.endsWith('\r')
    const lines = text.split(/\r\n|\r|\n/)
    lines[0] = line + (lines[0] ?? '')
    line = lines.pop() ?? ''
    for (const complete of lines) {
      if (complete !== '') assertFits(fields.add(complete), maxLength)
      else {
        const event = fields.take()
        if (event !== undefined) yield event
      }
    }
    assertFits(line.length, maxLength)
  }
}

function assertFits (length: number, maxLength: number): void {
  if (length > maxLength) throw new RemoteError('it sends a message that is too large', { isLasting: true })
}
