import type { FastifyPluginAsync } from 'fastify'
import { authorizationServerMetadata, openidConfiguration, protectedResourceMetadata, type MetadataOptions } from '../oauth/metadata.js'

export interface WellKnownOptions {
  publicUrl: string
  scopes: readonly string[]
  /** Paths of the MCP endpoints. */
  resourcePaths: readonly string[]
}

type Document = (resource: string, metadata: MetadataOptions) => Record<string, unknown>

const DOCUMENTS: Record<string, Document> = {
  'oauth-protected-resource': protectedResourceMetadata,
  'oauth-authorization-server': (_resource, metadata) => authorizationServerMetadata(metadata),
  'openid-configuration': (_resource, metadata) => openidConfiguration(metadata)
}

// at the root, and with the path of each MCP endpoint, as clients of different revisions look for them
const placesOf = (name: string, resourcePaths: readonly string[]) => ['', ...resourcePaths].map(path => ({ path, url: `/.well-known/${name}${path}` }))

/** Where the documents are. */
export function wellKnownPaths (resourcePaths: readonly string[]): string[] {
  return Object.keys(DOCUMENTS).flatMap(name => placesOf(name, resourcePaths).map(({ url }) => url))
}

/**
 * The documents that lead a client from a 401 to a token: protected resource metadata (RFC 9728), authorization server
 * metadata (RFC 8414), and the latter where parsers of OpenID Connect Discovery look.
 */
export const wellKnownRoutes: FastifyPluginAsync<WellKnownOptions> = async (app, { publicUrl: issuer, scopes, resourcePaths }) => {
  for (const [name, document] of Object.entries(DOCUMENTS)) {
    for (const { path, url } of placesOf(name, resourcePaths)) {
      // asked at the root, the resource is the whole origin
      const body = document(issuer + path, { issuer, scopes, documents: true })
      app.get(url, async (_request, reply) => reply.header('cache-control', 'public, max-age=300').send(body))
    }
  }
  // named by the OpenID document: we sign nothing
  app.get('/.well-known/jwks.json', async () => ({ keys: [] }))
}
