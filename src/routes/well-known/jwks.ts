import { Type, type Static } from '@sinclair/typebox'
import type { FastifyPluginAsync } from 'fastify'
import { sendRefusal, watchMethods } from '../../plugins/scoped/other-methods.js'
import { plainJson } from '../../plugins/scoped/plain-json.js'
import { routeSchemas } from '../../plugins/scoped/route-schemas.js'
import { documentResponse } from '../schemas/responses.js'

const JsonWebKeySet = Type.Object({ keys: Type.Array(Type.Object({})) })
const schema = {
  tags: ['discovery'],
  summary: 'The keys of the authorization server: none',
  response: documentResponse(JsonWebKeySet)
}

/** `GET /.well-known/jwks.json`, named by the OpenID document. It is empty: we sign nothing. */
export const jwksRoute: FastifyPluginAsync = async app => {
  await app.register(routeSchemas)
  await app.register(plainJson)
  const refuseOthers = watchMethods(app, sendRefusal)
  app.get('/.well-known/jwks.json', { schema }, async (): Promise<Static<typeof JsonWebKeySet>> => ({ keys: [] }))
  refuseOthers()
}
