import type { FastifyPluginAsync } from 'fastify'
import { protectedResourceMetadata } from '../../oauth/metadata.js'
import { sendRefusal, watchMethods } from '../../plugins/scoped/other-methods.js'
import { plainJson } from '../../plugins/scoped/plain-json.js'
import { scopedCors } from '../../plugins/scoped/cors.js'
import { ownPaths, type WellKnownPaths } from './paths.js'

export interface ProtectedResourceMetadataOptions {
  /** The URL of the service as clients see it. */
  baseUrl: string
  scopes: readonly string[]
  /** Paths of the MCP endpoints, from there. */
  resourcePaths: readonly string[]
  /** Issuers of the tokens that are taken. */
  authorizationServers: readonly string[]
  /** Default: in this context. */
  paths?: WellKnownPaths
}

/**
 * `GET /.well-known/oauth-protected-resource` (RFC 9728 3): where a client gets a token for an MCP endpoint. Without the
 * path of one, too, for the whole service.
 */
export const protectedResourceMetadataRoute: FastifyPluginAsync<ProtectedResourceMetadataOptions> = async (
  app,
  options
) => {
  const { baseUrl, scopes, resourcePaths, authorizationServers, paths = ownPaths } = options
  const places = ['', ...resourcePaths].flatMap(path =>
    paths('oauth-protected-resource', path).map(url => ({ url, resource: baseUrl + path }))
  )
  await app.register(plainJson)
  await app.register(scopedCors, {
    paths: places.map(({ url }) => url),
    cors: { origin: '*', methods: ['GET'], maxAge: 86_400 },
    refuse: sendRefusal
  })
  const refuseOthers = watchMethods(app, sendRefusal)
  for (const { url, resource } of places) {
    const document = protectedResourceMetadata(resource, scopes, authorizationServers)
    app.get(url, async (_request, reply) => reply.header('cache-control', 'public, max-age=300').send(document))
  }
  refuseOthers()
}
