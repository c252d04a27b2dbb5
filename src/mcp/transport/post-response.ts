import type { ServiceError } from '../../errors.js'
import type { SseStream } from './sse-stream.js'

/** Where the response to a POST goes. Exactly one of the methods is called, once. */
export interface PostResponse {
  /** Whether the client has gone away. */
  readonly gone: boolean
  /** The stream that it is from the beginning, under this id; absent: it becomes one if need be. */
  readonly streamId?: string | undefined
  /** Responds with JSON; `status` defaults to 200. */
  json (text: string, status?: number): void
  /** Responds with a stream. */
  stream (stream: SseStream): void
  /** Responds with 202, without a body: there were no requests. */
  accepted (): void
}

/** One that can still become a refusal: nobody else has been told where to read the response. */
export interface RefusablePostResponse extends PostResponse {
  /** Refuses the POST as a whole. */
  refuse (error: ServiceError): void
}
