import type { FastifyPluginAsync } from 'fastify'
import { authorizationServerMetadata, openidConfiguration } from '../../oauth/metadata.js'
import { sendRefusal, watchMethods } from '../../plugins/scoped/other-methods.js'
import { plainJson } from '../../plugins/scoped/plain-json.js'
import { scopedCors } from '../../plugins/scoped/cors.js'
import { ownPaths, type WellKnownPaths } from './paths.js'

export interface AuthorizationServerMetadataOptions {
  /** Our issuer. */
  issuer: string
  scopes: readonly string[]
  /** Paths of the MCP endpoints. */
  resourcePaths: readonly string[]
  /** Default: in this context. */
  paths?: WellKnownPaths
}

/**
 * `GET /.well-known/oauth-authorization-server` (RFC 8414 3), and the same at `openid-configuration` for parsers of OpenID
 * Connect Discovery. With the path of an MCP endpoint, too: clients of revision 2025-03-26, and some since, take it for
 * the issuer's.
 */
export const authorizationServerMetadataRoute: FastifyPluginAsync<AuthorizationServerMetadataOptions> = async (
  app,
  options
) => {
  const { issuer, scopes, resourcePaths, paths = ownPaths } = options
  const documents = [
    { name: 'oauth-authorization-server', document: authorizationServerMetadata(issuer, scopes) },
    { name: 'openid-configuration', document: openidConfiguration(issuer, scopes) }
  ]
  const places = documents.flatMap(({ name, document }) =>
    ['', ...resourcePaths].flatMap(path => paths(name, path).map(url => ({ url, document })))
  )
  await app.register(plainJson)
  await app.register(scopedCors, {
    paths: places.map(({ url }) => url),
    cors: { origin: '*', methods: ['GET'], maxAge: 86_400 },
    refuse: sendRefusal
  })
  const refuseOthers = watchMethods(app, sendRefusal)
  for (const { url, document } of places) {
    app.get(url, async (_request, reply) => reply.header('cache-control', 'public, max-age=300').send(document))
  }
  refuseOthers()
}
