import { LogController, type FastifyReply, type FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { oneLine } from '../../displayed-text.js'
import type { EndedRequest } from '../../observability/ended-request.js'
import { describeMcpRequest } from './mcp-request-line.js'

export interface RequestLogOptions {
  /**
   * Is called when a request is over, except for streams that a client opened to listen: they last as long as it does.
   */
  onEnd?: (request: EndedRequest) => void
}

const MAX_PATH = 200

/** Fastify's own lines about requests are left out: `requestLog` writes the one there is. */
export class QuietLogController extends LogController {
  override incomingRequest (): void {}
  override requestCompleted (): void {}
  // it would show the query
  override routeNotFound (): void {}

  override streamError (error: Error & { code?: string }, request: FastifyRequest, reply: FastifyReply): void {
    if (error.code !== 'ERR_STREAM_PREMATURE_CLOSE') super.streamError(error, request, reply)
  }
}

/** One line for each request, when it is over or its client has gone; and its id in the header `X-Request-Id`. */
export const requestLog = fp<RequestLogOptions>(async (app, { onEnd }) => {
  app.addHook('onRequest', (request, reply, done) => {
    reply.header('x-request-id', request.id)
    reply.raw.once('close', () => {
      const { method, routeOptions: { url: route } } = request
      // what was never answered has no status; the number is nginx's
      const statusCode = reply.raw.headersSent ? reply.statusCode : 499
      reply.log.info(makeLine(request, reply, route, statusCode), 'request')
      if (onEnd !== undefined && !(method === 'GET' && isEventStream(reply))) {
        onEnd({ method, route, statusCode, seconds: reply.elapsedTime / 1000 })
      }
    })
    done()
  })
}, { name: 'fastify-mcp-oauth/request-log', fastify: '5.x' })

function makeLine (
  request: FastifyRequest,
  reply: FastifyReply,
  route: string | undefined,
  statusCode: number
): object {
  const { method, ip, authInfo, oauthClientId } = request
  const clientId = authInfo?.clientId ?? oauthClientId
  return {
    method,
    route,
    // without a route; a query contains codes and states
    ...route === undefined && { path: oneLine(request.url.replace(/\?.*/s, '')).slice(0, MAX_PATH) },
    statusCode,
    ms: Math.round(reply.elapsedTime * 10) / 10,
    ip,
    ...clientId != null && { clientId },
    ...authInfo?.extra.grantId !== undefined && { grantId: authInfo.extra.grantId },
    ...describeMcpRequest(request, reply),
    ...!reply.raw.writableFinished && { clientLeft: true }
  }
}

function isEventStream (reply: FastifyReply): boolean {
  return reply.getHeader('content-type')?.toString().startsWith('text/event-stream') === true
}
