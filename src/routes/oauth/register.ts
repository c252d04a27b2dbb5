import type { FastifyPluginAsync } from 'fastify'
import { callerAddress } from '../../caller-address.js'

/** `POST /register`: dynamic client registration (RFC 7591 3). */
export const registerRoute: FastifyPluginAsync = async app => {
  app.post('/register', async (request, reply) => {
    const registered = await app.oauthBroker.clients.register(request.body, callerAddress(request))
    return reply.code(201).header('cache-control', 'no-store').send(registered)
  })
}
