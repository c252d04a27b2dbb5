import formbody from '@fastify/formbody'
import fp from 'fastify-plugin'
import { EncodedBodyError, InvalidRequestError } from '../../errors.js'
import { OAUTH_BODY_BYTES } from '../scoped/body-limits.js'
import { plainBodies } from '../scoped/content-encoding.js'
import { isTooDeep, MAX_JSON_DEPTH } from '../../mcp/wire/json-depth.js'

/** The bodies that the OAuth endpoints of this context take: forms and JSON, whatever the app around them takes. */
export const oauthBodies = fp(async app => {
  await app.register(plainBodies, { refuse: message => new EncodedBodyError(message) })
  app.removeAllContentTypeParsers()
  await app.register(formbody, { bodyLimit: OAUTH_BODY_BYTES })
  const parseJson = app.getDefaultJsonParser('remove', 'remove')
  const options = { parseAs: 'string', bodyLimit: OAUTH_BODY_BYTES } as const
  app.addContentTypeParser('application/json', options, (request, body, done) => {
    const text = body.toString()
    if (!isTooDeep(text)) return parseJson(request, text, done)
    done(new InvalidRequestError(`The body is nested deeper than ${MAX_JSON_DEPTH} levels.`))
    return undefined
  })
}, { name: 'fastify-mcp-oauth/oauth-bodies', fastify: '5.x' })
