import type { SseStream } from './sse-stream.js'

/** The HTTP response to one POST, as the session sees it. Exactly one method is called, once. */
export interface PostResponse {
  /** Whether the client has gone away. */
  readonly gone: boolean
  /** Answers with JSON; `status` defaults to 200. */
  json (text: string, status?: number): void
  /** Answers with a stream. */
  stream (stream: SseStream): void
  /** 202, without a body: nothing to answer. */
  accepted (): void
}
