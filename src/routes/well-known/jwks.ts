import type { FastifyPluginAsync } from 'fastify'
import { sendRefusal, watchMethods } from '../../plugins/scoped/other-methods.js'
import { plainJson } from '../../plugins/scoped/plain-json.js'

/** `GET /.well-known/jwks.json`, named by the OpenID document. It is empty: we sign nothing. */
export const jwksRoute: FastifyPluginAsync = async app => {
  await app.register(plainJson)
  const refuseOthers = watchMethods(app, sendRefusal)
  app.get('/.well-known/jwks.json', async () => ({ keys: [] }))
  refuseOthers()
}
