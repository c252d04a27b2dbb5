import type { FastifyPluginAsync, FastifyRequest } from 'fastify'

// whoever registers is no client yet, whatever the body says
const limits = { rateLimit: { keyGenerator: (request: FastifyRequest) => request.ip } }

/** `POST /register`: dynamic client registration (RFC 7591 3). */
export const registerRoute: FastifyPluginAsync = async app => {
  app.post('/register', { config: limits }, async (request, reply) => {
    const registered = await app.oauthBroker.clients.register(request.body)
    return reply.code(201).header('cache-control', 'no-store').send(registered)
  })
}
