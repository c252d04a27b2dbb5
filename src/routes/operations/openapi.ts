import type { FastifyPluginAsync } from 'fastify'
import { openApiDocument, type OpenApiOptions } from '../../observability/openapi.js'

/** `GET /openapi.json`: the HTTP surface, for tools. */
export const openApiRoute: FastifyPluginAsync<OpenApiOptions> = async (app, options) => {
  const document = openApiDocument(options)
  app.get(
    '/openapi.json',
    async (_request, reply) => reply.header('cache-control', 'public, max-age=300').send(document)
  )
}
