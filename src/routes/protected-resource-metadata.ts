import type { FastifyPluginAsync } from 'fastify'
import { protectedResourceMetadata } from '../oauth/metadata.js'
import { scopedCors } from '../plugins/scoped-cors.js'

export interface ProtectedResourceMetadataOptions {
  publicUrl: string
  scopes: readonly string[]
  /** Paths of the MCP endpoints. */
  resourcePaths: readonly string[]
  /** Issuers of the tokens that are taken. */
  authorizationServers: readonly string[]
}

/**
 * `GET /.well-known/oauth-protected-resource` (RFC 9728 3): where a client gets a token for an MCP endpoint. At the root,
 * too, for the whole origin.
 */
export const protectedResourceMetadataRoute: FastifyPluginAsync<ProtectedResourceMetadataOptions> = async (app, options) => {
  const { publicUrl, scopes, resourcePaths, authorizationServers } = options
  const places = ['', ...resourcePaths].map(path => ({ url: `/.well-known/oauth-protected-resource${path}`, resource: publicUrl + path }))
  await app.register(scopedCors, { paths: places.map(({ url }) => url), cors: { origin: '*', methods: ['GET'], maxAge: 86_400 } })
  for (const { url, resource } of places) {
    const document = protectedResourceMetadata(resource, scopes, authorizationServers)
    app.get(url, async (_request, reply) => reply.header('cache-control', 'public, max-age=300').send(document))
  }
}
