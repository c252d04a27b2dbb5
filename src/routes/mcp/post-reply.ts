import type { FastifyReply, FastifyRequest } from 'fastify'
import type { CallerInfo } from '../../caller.js'
import type { ServiceError } from '../../errors.js'
import type { LegacyPost } from '../../mcp/modern/classify.js'
import type { RefusablePostResponse } from '../../mcp/transport/post-response.js'
import { EVENT_STREAM_HEADERS, type SseStream } from '../../mcp/transport/sse-stream.js'
import { kPost } from '../../plugins/mcp/modern.js'

/** A `RefusablePostResponse` that goes through Fastify's reply, so that hooks, CORS and `inject` see it. */
export class FastifyPostResponse implements RefusablePostResponse {
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

  refuse (error: ServiceError): void {
    this.#reply.send(error)
  }
}

/** The caller that `bearerAuth` has established. */
export function requestCaller (request: FastifyRequest): CallerInfo {
  if (request.authInfo === null) throw new Error('This route runs without bearerAuth')
  return request.authInfo
}

/** What was posted, as the hook of `mcpModern` has read it. @throws what is wrong with the body */
export function requestPost (request: FastifyRequest): LegacyPost {
  const post = request[kPost]
  if (post === null) throw new Error('This route runs without mcpModern')
  if (post.kind === 'invalid') throw post.error
  return post
}
