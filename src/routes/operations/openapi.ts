import swagger from '@fastify/swagger'
import fp from 'fastify-plugin'
import { routeSchemas } from '../../plugins/scoped/route-schemas.js'
import { packageVersion } from '../../version.js'
import { sharedSchemas } from '../schemas/errors.js'
import { documentResponse } from '../schemas/responses.js'

export interface OpenApiOptions {
  publicUrl: string
  scopes: readonly string[]
  /** Whether clients log in here, or elsewhere and bring the tokens. */
  broker: boolean
  /** Whether operators can log in. */
  admin: boolean
  /** Whether `/metrics` is served. */
  metrics: boolean
}

const schema = {
  tags: ['operations'],
  summary: 'This document',
  response: documentResponse()
}

/**
 * `GET /openapi.json`: the HTTP surface, for tools, made from the schemas of the routes. Register it before them, in an
 * app of our own.
 */
export const openApiRoute = fp<OpenApiOptions>(async (app, options) => {
  await app.register(routeSchemas)
  for (const shared of sharedSchemas) app.addSchema(shared)
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'MCP server',
        description: 'A Model Context Protocol server behind OAuth.',
        version: packageVersion()
      },
      servers: [{ url: options.publicUrl }],
      components: { securitySchemes: securitySchemes(options) }
    },
    convertConstToEnum: false,
    refResolver: { buildLocalReference: ({ $id }, _baseUri, _fragment, index) => $id?.toString() ?? `schema-${index}` },
    transform: ({ url, route: { config } }) => ({ schema: config?.documentation ?? { hide: true }, url })
  })
  app.get('/openapi.json', { schema }, async (_request, reply) =>
    reply.header('cache-control', 'public, max-age=300').send(app.swagger()))
}, { name: 'fastify-mcp-oauth/openapi', fastify: '5.x' })

function securitySchemes ({ publicUrl, scopes, broker, admin, metrics }: OpenApiOptions) {
  const bearer = { type: 'http' as const, scheme: 'bearer' }
  return {
    accessToken: broker ? brokerScheme(publicUrl, scopes) : bearer,
    ...broker && { basic: { type: 'http' as const, scheme: 'basic' } },
    ...admin && { adminToken: bearer },
    ...metrics && { metricsToken: bearer }
  }
}

function brokerScheme (publicUrl: string, scopes: readonly string[]) {
  return {
    type: 'oauth2' as const,
    flows: {
      authorizationCode: {
        authorizationUrl: `${publicUrl}/authorize`,
        tokenUrl: `${publicUrl}/token`,
        refreshUrl: `${publicUrl}/token`,
        scopes: Object.fromEntries(scopes.map(scope => [scope, '']))
      }
    }
  }
}
