import type { FastifyPluginAsync } from 'fastify'
import { authorizationServerMetadata, openidConfiguration } from '../oauth/metadata.js'
import { scopedCors } from '../plugins/scoped-cors.js'

export interface AuthorizationServerMetadataOptions {
  /** Our issuer. */
  publicUrl: string
  scopes: readonly string[]
  /** Paths of the MCP endpoints. */
  resourcePaths: readonly string[]
}

/**
 * `GET /.well-known/oauth-authorization-server` (RFC 8414 3), and the same at `openid-configuration` for parsers of OpenID
 * Connect Discovery. With the path of an MCP endpoint, too: clients of revision 2025-03-26, and some since, take it for
 * the issuer's.
 */
export const authorizationServerMetadataRoute: FastifyPluginAsync<AuthorizationServerMetadataOptions> = async (app, { publicUrl, scopes, resourcePaths }) => {
  const documents = [
    { name: 'oauth-authorization-server', document: authorizationServerMetadata(publicUrl, scopes) },
    { name: 'openid-configuration', document: openidConfiguration(publicUrl, scopes) }
  ]
  const places = documents.flatMap(({ name, document }) => ['', ...resourcePaths].map(path => ({ url: `/.well-known/${name}${path}`, document })))
  await app.register(scopedCors, { paths: places.map(({ url }) => url), cors: { origin: '*', methods: ['GET'], maxAge: 86_400 } })
  for (const { url, document } of places) {
    app.get(url, async (_request, reply) => reply.header('cache-control', 'public, max-age=300').send(document))
  }
  // named by the OpenID document: we sign nothing
  app.get('/.well-known/jwks.json', async () => ({ keys: [] }))
}
