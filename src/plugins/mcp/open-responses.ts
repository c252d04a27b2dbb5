import { Readable } from 'node:stream'
import type { FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { personKey } from '../../caller.js'
import type { Admission } from '../../mcp/admission/admission.js'
import { OpenResponses, type OpenResponse } from '../../mcp/admission/open-responses.js'
import type { SessionLimits } from '../../mcp/limits.js'
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
  const opened = new WeakMap<FastifyRequest, OpenResponse>()
  const bodies = new WeakMap<FastifyRequest, Readable>()

  app.addHook('onRequest', (request, { raw }, done) => {
    const { authInfo: caller } = request
    // its client may have gone while its token was looked at
    if (caller === null || raw.closed) {
      done()
      return
    }
    const open = responses.open(personKey(caller.extra), countBodyBytes(request, maxBodyBytes), {
      get unreadBytes () { return raw.writableLength + countUnread(bodies.get(request)) },
      get takenBytes () { return findTakenBytes(raw.socket) },
      cut: () => { raw.destroy() }
    })
    opened.set(request, open)
    raw.once('close', () => { responses.close(open) })
    done()
  })
  app.addHook('preHandler', (request, _reply, done) => {
    if (isChunked(request)) opened.get(request)?.bodyCame(request.bodyBytes)
    done()
  })
  app.addHook('onSend', (request, _reply, payload, done) => {
    if (payload instanceof Readable) bodies.set(request, payload)
    done()
  })
}, {
  name: 'fastify-mcp-oauth/mcp-open-responses',
  fastify: '5.x',
  dependencies: ['fastify-mcp-oauth/mcp-guard', 'fastify-mcp-oauth/mcp-errors']
})

/** A stream may know of more than Node.js has of it. */
function countUnread (body: Readable | undefined): number {
  if (body === undefined) return 0
  return 'unreadBytes' in body && typeof body.unreadBytes === 'number' ? body.unreadBytes : body.readableLength
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
