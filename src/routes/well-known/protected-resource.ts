import { Type } from '@sinclair/typebox'
import type { FastifyPluginAsync } from 'fastify'
import { protectedResourceMetadata } from '../../oauth/metadata.js'
import type { ProtectedServer } from '../../oauth/resources.js'
import { sendRefusal, watchMethods } from '../../plugins/scoped/other-methods.js'
import { plainJson } from '../../plugins/scoped/plain-json.js'
import { scopedCors } from '../../plugins/scoped/cors.js'
import { METADATA_CORS } from '../../plugins/scoped/cors-headers.js'
import { routeSchemas } from '../../plugins/scoped/route-schemas.js'
import { documentResponse } from '../schemas/responses.js'
import { ownPaths, type WellKnownPaths } from './paths.js'

export interface ProtectedResourceMetadataOptions {
  /** The URL of the service as clients see it. */
  baseUrl: string
  /** The MCP servers, with the paths of their endpoints from there. */
  servers: ReadonlyArray<Pick<ProtectedServer, 'title' | 'paths' | 'scopes'>>
  /** Issuers of the tokens that are accepted. */
  authorizationServers: readonly string[]
  /** Default: in this context. */
  paths?: WellKnownPaths
}

const schema = {
  tags: ['discovery'],
  summary: 'Where a client gets a token for an MCP endpoint (RFC 9728)',
  response: documentResponse(Type.Object({
    resource: Type.String(),
    authorization_servers: Type.Array(Type.String()),
    scopes_supported: Type.Array(Type.String()),
    bearer_methods_supported: Type.Array(Type.String()),
    resource_name: Type.String()
  }))
}
const config = { loginVisit: 'resource-metadata' as const }

/**
 * `GET /.well-known/oauth-protected-resource` (RFC 9728 3): where a client gets a token for an MCP endpoint. Without an
 * endpoint's path it describes the whole service, if that is one server.
 */
export const protectedResourceMetadataRoute: FastifyPluginAsync<ProtectedResourceMetadataOptions> = async (
  app,
  options
) => {
  const { baseUrl, servers, authorizationServers, paths = ownPaths } = options
  const places = servers.flatMap(server =>
    [...servers.length === 1 ? [''] : [], ...server.paths].flatMap(path =>
      paths('oauth-protected-resource', path).map(url => ({ url, server, resource: baseUrl + path }))
    )
  )
  await app.register(routeSchemas)
  await app.register(plainJson)
  await app.register(scopedCors, {
    paths: places.map(({ url }) => url),
    cors: METADATA_CORS,
    refuse: sendRefusal
  })
  const refuseOthers = watchMethods(app, sendRefusal)
  for (const { url, server, resource } of places) {
    const document = protectedResourceMetadata(resource, server, authorizationServers)
    app.get(
      url,
      { schema, config },
      async (_request, reply) => reply.header('cache-control', 'public, max-age=300').send(document)
    )
  }
  refuseOthers()
}
