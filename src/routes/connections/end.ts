import type { FastifyPluginAsync } from 'fastify'
import { AccessDeniedError, InvalidRequestError } from '../../errors.js'
import { connectionsResponses } from '../schemas/connections.js'
import { formBody } from '../schemas/requests.js'
import type { ConnectionsOptions } from './connections.js'
import { checkSameOriginForm } from '../oauth/same-origin-form.js'
import { parseParameters } from '../oauth/parameters.js'
import { kBroker } from '../../plugins/oauth/broker.js'

const schema = {
  tags: ['oauth'],
  summary: 'Ends a connection',
  body: formBody({ grant: 'The connection, from the page' }),
  response: connectionsResponses
}

/** `POST /oauth/connections/end`: a person ends a connection; its tokens and streams end at once, on every replica. */
export const connectionsEndRoute: FastifyPluginAsync<ConnectionsOptions> = async (app, { issuer }) => {
  app.post('/oauth/connections/end', { schema }, async (request, reply) => {
    checkSameOriginForm(request, issuer)
    const person = request.getPerson()
    if (person === undefined) throw new AccessDeniedError('Your session has expired. Please sign in again.')
    await request.countFor({ person })
    const { grant } = parseParameters(request.body)
    if (grant === undefined) throw new InvalidRequestError('The form is incomplete.')
    await app[kBroker].connections.end(person, grant, request)
    return reply.header('cache-control', 'no-store').redirect(`${issuer}/oauth/connections?ended=1`, 303)
  })
}
