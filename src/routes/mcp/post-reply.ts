import type { FastifyReply, FastifyRequest } from 'fastify'
import type { CallerInfo } from '../../caller.js'
import type { PostResponse } from '../../mcp/transport/post-response.js'
import { EVENT_STREAM_HEADERS, type SseStream } from '../../mcp/transport/sse-stream.js'

/** An `Answer` given through Fastify's reply, so that hooks, CORS and `inject` see it. */
export class FastifyPostResponse implements PostResponse {
  readonly #reply: FastifyReply

  constructor (reply: FastifyReply) {
    this.#reply = reply
  }

  get gone (): boolean {
    return this.#reply.raw.destroyed || this.#reply.raw.closed
  }

  json (text: string, status = 200): void {
    this.#reply.code(status).header('content-type', 'application/json; charset=utf-8').send(text)
  }

  stream (stream: SseStream): void {
    this.#reply.headers(EVENT_STREAM_HEADERS).send(stream)
  }

  accepted (): void {
    this.#reply.code(202).send()
  }
}

/** The caller that `bearerAuth` has established. */
export function requestCaller (request: FastifyRequest): CallerInfo {
  if (request.authInfo === null) throw new Error('This route runs without bearerAuth')
  return request.authInfo
}
