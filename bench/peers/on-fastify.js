import Fastify from 'fastify'
import { callerOfHeader, serve } from '../servers/served.js'

/** A Fastify app that demands a bearer token; `addRoutes` gives it its routes. */
export function serveOnFastify (addRoutes) {
  const app = Fastify()
  app.addHook('onRequest', (request, reply, done) => {
    const caller = callerOfHeader(request.headers.authorization)
    if (caller === undefined) {
      reply.code(401).send({ error: 'invalid_token' })
      return
    }
    request.raw.auth = caller
    done()
  })
  serve(async () => {
    await addRoutes(app)
    return new URL(await app.listen({ port: 0, host: '127.0.0.1' })).port
  })
}

/** Hands requests over to the transports of the SDK. */
export function serveSessionsOnFastify (sessions) {
  serveOnFastify(app => {
    app.route({
      method: ['GET', 'POST', 'DELETE'],
      url: '/mcp',
      handler: async (request, reply) => {
        const transport = await sessions.transportOf(request.headers, request.body, request.raw.auth)
        if (transport === undefined) return reply.code(404).send({ error: 'no such session' })
        reply.hijack()
        await transport.handleRequest(request.raw, reply.raw, request.body)
      }
    })
  })
}
