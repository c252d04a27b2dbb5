import { Type } from '@sinclair/typebox'
import type { FastifyPluginAsync } from 'fastify'
import { authorizationServerMetadata, openidConfiguration } from '../../oauth/metadata.js'
import type { ProtectedServer } from '../../oauth/resources.js'
import type { Policy } from '../../policy/policy.js'
import { sendRefusal, watchMethods } from '../../plugins/scoped/other-methods.js'
import { plainJson } from '../../plugins/scoped/plain-json.js'
import { scopedCors } from '../../plugins/scoped/cors.js'
import { METADATA_CORS } from '../../plugins/scoped/cors-headers.js'
import { routeSchemas } from '../../plugins/scoped/route-schemas.js'
import { documentResponse } from '../schemas/responses.js'
import { ownPaths, type WellKnownPaths } from './paths.js'

export interface AuthorizationServerMetadataOptions {
  /** Our issuer. */
  issuer: string
  /** The MCP servers, with the paths of their endpoints. */
  servers: ReadonlyArray<Pick<ProtectedServer, 'paths' | 'scopes'>>
  /** Whether clients may be known by their metadata documents. Default: true. */
  clientMetadataDocuments?: boolean | undefined
  /** It may end the registration of clients, at any time. */
  policy?: Policy | undefined
  /** Default: in this context. */
  paths?: WellKnownPaths
}

const response = documentResponse(Type.Object({
  issuer: Type.String(),
  authorization_endpoint: Type.String(),
  token_endpoint: Type.String(),
  registration_endpoint: Type.Optional(Type.String()),
  revocation_endpoint: Type.String(),
  introspection_endpoint: Type.String(),
  scopes_supported: Type.Array(Type.String())
}))
const tags = ['discovery']
const oauthSchema = { tags, summary: 'The endpoints of the authorization server (RFC 8414)', response }
const openidSchema = { tags, summary: 'The same, for parsers of OpenID Connect Discovery', response }
const config = { loginVisit: 'server-metadata' as const }

/**
 * `GET /.well-known/oauth-authorization-server` (RFC 8414 3), and the same at `openid-configuration` for parsers of
 * OpenID Connect Discovery. Also with the path of an MCP endpoint: clients of revision 2025-03-26, and some since, take
 * that path for the issuer's.
 */
export const authorizationServerMetadataRoute: FastifyPluginAsync<AuthorizationServerMetadataOptions> = async (
  app,
  options
) => {
  const { issuer, servers, clientMetadataDocuments = true, policy, paths = ownPaths } = options
  const scopes = [...new Set(servers.flatMap(({ scopes }) => scopes))]
  const make = (maker: typeof openidConfiguration) => {
    const [open, closed] = [true, false].map(may => maker(issuer, scopes, clientMetadataDocuments, may))
    return () => policy?.rules.clients?.registration === 'off' ? closed : open
  }
  const documents = [
    {
      name: 'oauth-authorization-server',
      schema: oauthSchema,
      document: make(authorizationServerMetadata)
    },
    {
      name: 'openid-configuration',
      schema: openidSchema,
      document: make(openidConfiguration)
    }
  ]
  const endpoints = servers.flatMap(server => server.paths)
  const places = documents.flatMap(({ name, schema, document }) =>
    ['', ...endpoints].flatMap(path => paths(name, path).map(url => ({ url, schema, document })))
  )
  await app.register(routeSchemas)
  await app.register(plainJson)
  await app.register(scopedCors, {
    paths: places.map(({ url }) => url),
    cors: METADATA_CORS,
    refuse: sendRefusal
  })
  const refuseOthers = watchMethods(app, sendRefusal)
  for (const { url, schema, document } of places) {
    app.get(
      url,
      { schema, config },
      async (_request, reply) => reply.header('cache-control', 'public, max-age=300').send(document())
    )
  }
  refuseOthers()
}
