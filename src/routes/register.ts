import type { FastifyPluginAsync } from 'fastify'

/** `POST /register`: dynamic client registration (RFC 7591 3). */
export const registerRoute: FastifyPluginAsync = async app => {
  app.post('/register', async (request, reply) => {
    const registered = await app.oauthBroker.clients.register(request.body)
    return reply.code(201).header('cache-control', 'no-store').send(registered)
  })
}
