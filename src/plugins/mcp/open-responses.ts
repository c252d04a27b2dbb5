import type { ServerResponse } from 'node:http'
import { Readable } from 'node:stream'
import type { FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { personKey } from '../../caller.js'
import type { Admission } from '../../mcp/admission/admission.js'
import { OpenResponses, type OpenResponse, type Weighable } from '../../mcp/admission/open-responses.js'
import { audited } from '../scoped/audited.js'
import type { SessionLimits } from '../../mcp/limits.js'
import { ResponseStream } from '../../mcp/modern/response-stream.js'
import { SseStream } from '../../mcp/transport/sse-stream.js'
import { findTakenBytes } from './taken-bytes.js'

export interface McpOpenResponsesOptions {
  admission: Admission
  limits: Pick<SessionLimits, 'maxUnreadBytes' | 'maxUnreadBytesPerPerson'>
  /** Largest body in bytes. */
  maxBodyBytes: number
  /** Milliseconds after which a client is disconnected that takes nothing of what waits for it. */
  stalledMs: number
}

/**
 * Bounds what a person's HTTP requests hold, whatever becomes of them: their number, the bytes of their bodies, and
 * what of the responses nobody reads. From the moment that the caller is known, before the body is read.
 */
export const mcpOpenResponses = fp<McpOpenResponsesOptions>(async (app, options) => {
  const { admission, limits, maxBodyBytes, stalledMs } = options
  const responses = new OpenResponses({
    admission,
    ...limits,
    stalledMs,
    onCut: (bytes, reason) => {
      if (reason === 'stalled') app.log.info({ bytes }, 'a response was cut: its client takes nothing of it')
      else app.log.warn({ bytes }, 'a response was cut: its client does not read, and others need the room')
    }
  })
  app.addHook('onClose', () => {
    responses.stop()
  })
  // what these bounds refuse does not begin
  await app.register(audited, { paths: ['/mcp', '/messages'] })
  const opened = new WeakMap<FastifyRequest, { open: OpenResponse, weight: ResponseWeight }>()

  app.addHook('onRequest', (request, { raw }, done) => {
    const { authInfo: caller } = request
    // its client may have gone while its token was looked at
    if (caller === null || raw.closed) {
      done()
      return
    }
    const weight = new ResponseWeight(raw)
    const open = responses.open(personKey(caller.extra), countBodyBytes(request, maxBodyBytes), weight)
    opened.set(request, { open, weight })
    raw.once('close', () => { responses.close(open) })
    done()
  })
  app.addHook('preHandler', (request, _reply, done) => {
    if (isChunked(request)) opened.get(request)?.open.bodyCame(request.bodyBytes)
    done()
  })
  app.addHook('onSend', (request, _reply, payload, done) => {
    const weight = opened.get(request)?.weight
    if (weight !== undefined && payload instanceof Readable) weight.body = payload
    done()
  })
}, {
  name: 'fastify-mcp-oauth/mcp-open-responses',
  fastify: '5.x',
  dependencies: ['fastify-mcp-oauth/mcp-guard', 'fastify-mcp-oauth/mcp-errors']
})

/** What a response weighs. All of them are weighed twice a second: it is a few reads of members. */
export class ResponseWeight implements Weighable {
  /** Its stream, once there is one. */
  body: Readable | undefined
  readonly #raw: ServerResponse

  constructor (raw: ServerResponse) {
    this.#raw = raw
  }

  get unreadBytes (): number {
    const { body } = this
    if (body === undefined) return this.#raw.writableLength
    // a stream may know of more than Node.js has of it
    const isOurs = body instanceof SseStream || body instanceof ResponseStream
    return this.#raw.writableLength + (isOurs ? body.unreadBytes : body.readableLength)
  }

  get takenBytes (): number | undefined {
    return findTakenBytes(this.#raw.socket)
  }

  cut (): void {
    this.#raw.destroy()
  }
}

/** What the body of a request weighs, as far as it says so, at most what is read of it. */
function countBodyBytes (request: FastifyRequest, maxBodyBytes: number): number {
  if (isChunked(request)) return maxBodyBytes
  const length = Number(request.headers['content-length'] ?? 0)
  return Number.isSafeInteger(length) && length > 0 ? Math.min(length, maxBodyBytes) : 0
}

function isChunked ({ headers }: FastifyRequest): boolean {
  return headers['transfer-encoding'] !== undefined
}
