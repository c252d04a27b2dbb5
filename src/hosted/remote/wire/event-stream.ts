import { createParser } from 'eventsource-parser'
import { RemoteError } from './remote-error.js'

/** An event of `text/event-stream` (HTML Living Standard 9.2). */
export interface StreamEvent {
  /** Absent: the event has none. */
  id: string | undefined
  type: string
  data: string
}

export interface EventStreamOptions {
  /** Of the data of one event, in characters. */
  maxLength: number
  /** How long to wait before the stream is asked for again; it may stand between events, or at the end. */
  onRetry?: ((ms: number) => void) | undefined
}

/**
 * Reads events. A chunk is read when all events of the one before have been taken.
 * @throws {RemoteError} (rejects with it) if one is longer
 */
export async function * readEvents (
  chunks: AsyncIterable<Uint8Array>,
  { maxLength, onRetry }: EventStreamOptions
): AsyncGenerator<StreamEvent> {
  const events: StreamEvent[] = []
  let isTooLarge = false
  const parser = createParser({
    // of what is not complete
    maxBufferSize: maxLength,
    onEvent: ({ id, event: type = 'message', data }) => {
      if (data.length > maxLength) isTooLarge = true
      else events.push({ id, type, data })
    },
    onRetry,
    onError: ({ type }) => { isTooLarge ||= type === 'max-buffer-size-exceeded' }
  })
  const decoder = new TextDecoder()
  for await (const chunk of chunks) {
    parser.feed(decoder.decode(chunk, { stream: true }))
    yield * events.splice(0)
    if (isTooLarge) throw new RemoteError('it sends a message that is too large', { isLasting: true })
  }
}
