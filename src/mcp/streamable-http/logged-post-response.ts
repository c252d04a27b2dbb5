import type { PostResponse } from '../transport/post-response.js'
import type { SseStream } from '../transport/sse-stream.js'

/** The response to a POST that another replica has received, which reads it in the event log. */
export class LoggedPostResponse implements PostResponse {
  readonly gone = false
  readonly streamId: string | undefined

  /** @param streamId that the other replica reads; undefined if there are no requests */
  constructor (streamId: string | undefined) {
    this.streamId = streamId
  }

  json (): void {
    throw new Error('a response that another replica reads is a stream')
  }

  /** Only the log is read: to it, this is a client that has gone and will resume. */
  stream (stream: SseStream): void {
    stream.destroy()
  }

  accepted (): void {}
}
