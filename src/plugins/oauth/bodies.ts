import formbody from '@fastify/formbody'
import fp from 'fastify-plugin'
import { InvalidRequestError } from '../../errors.js'
import { isTooDeep, MAX_JSON_DEPTH } from '../scoped/json-depth.js'

// no OAuth message is larger
const BODY_LIMIT = 65_536

/** The bodies that the OAuth endpoints of this context take: forms and JSON, whatever the app around them takes. */
export const oauthBodies = fp(async app => {
  app.removeAllContentTypeParsers()
  await app.register(formbody, { bodyLimit: BODY_LIMIT })
  const parseJson = app.getDefaultJsonParser('remove', 'remove')
  app.addContentTypeParser('application/json', { parseAs: 'string', bodyLimit: BODY_LIMIT }, (request, body, done) => {
    const text = body.toString()
    if (!isTooDeep(text)) return parseJson(request, text, done)
    done(new InvalidRequestError(`The body is nested deeper than ${MAX_JSON_DEPTH} levels.`))
    return undefined
  })
}, { name: 'fastify-mcp-oauth/oauth-bodies', fastify: '5.x' })
