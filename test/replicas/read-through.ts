import { readEvents } from '../support/raw-http.js'
import type { RawSession } from '../support/raw-session.js'

/** How a stream ended, as its reader sees it. */
export interface End {
  /** Milliseconds since the epoch. */
  at: number
  /** The text of the error; or that there was none. */
  error: string
}

/** A call that runs on one replica, and whose stream its client reads through another. */
export interface CrossedCall {
  id: number
  /** Of the stream's first event. */
  eventId: string
  end: Promise<End>
}

/** Begins a call on one replica, and reads its stream from another. Resolves once that is open. */
export async function readThrough (
  session: RawSession,
  reader: string,
  writer: string,
  input: { call: string, ms: number, steps: number }
): Promise<CrossedCall> {
  const abort = new AbortController()
  const message = session.toolCall('work', input)
  const begun = await session.post(writer, message, abort.signal)
  // a person may have only so many calls at once
  if (begun.status !== 200) throw new Error(`call: ${begun.status} ${await begun.text()}`)
  const { value: first } = await readEvents(begun).next()
  abort.abort()
  const eventId = first?.id ?? ''
  const stream = await session.get(reader, eventId)
  if (stream.status !== 200) throw new Error(`resumption: ${stream.status}`)
  return { id: message.id, eventId, end: endOf(stream) }
}

async function endOf (stream: Response): Promise<End> {
  for await (const { data } of readEvents(stream)) {
    if (data.includes('"error"')) return { at: Date.now(), error: data }
  }
  return { at: Date.now(), error: 'the stream ended' }
}
