import { Type, type TSchema } from '@sinclair/typebox'
import type { FastifyPluginAsync, FastifyRequest } from 'fastify'
import { attemptsPage } from '../../pages/login-attempts.js'
import type { Attempts } from '../../oauth/broker.js'
import { errorPage } from '../../pages/consent.js'
import { equalSecrets } from '../../oauth/secrets.js'
import { oauthErrorRef } from '../schemas/errors.js'
import { oneOfTexts, security } from '../schemas/requests.js'

export interface AdminAttemptsOptions {
  attempts: Attempts
  adminToken: string
}

const list = Type.Array(Type.Object({}))
const Report = Type.Object({
  at: Type.String({ format: 'date-time' }),
  publicUrl: Type.String(),
  loginHost: Type.String(),
  upstreamMode: oneOfTexts(['dynamic', 'static']),
  attempts: list,
  visits: list
})

const pageOrJson = (description: string, schema: TSchema) => ({
  description,
  content: { 'text/html': { schema: Type.String() }, 'application/json': { schema } }
})
const schema = {
  tags: ['operations'],
  summary: 'How the last logins went, for operators',
  security: security.operator,
  response: {
    200: pageOrJson('The report.', Report),
    401: pageOrJson('The admin token is missing or wrong.', oauthErrorRef)
  }
}

/**
 * `GET /admin/attempts`: how the last logins went, for operators: a page, or JSON if the request prefers it. The admin
 * token is the password of HTTP Basic (browsers ask for it; any user name will do), or a bearer token.
 */
export const adminAttemptsRoute: FastifyPluginAsync<AdminAttemptsOptions> = async (app, { attempts, adminToken }) => {
  const isOperator = (token: string | undefined): boolean => token !== undefined && equalSecrets(token, adminToken)
  const config = { isRecognised: (request: FastifyRequest) => isOperator(findToken(request)) }

  app.get('/admin/attempts', { schema, exposeHeadRoute: false, config }, async (request, reply) => {
    const asJson = /^application\/json\b/.test(request.headers.accept ?? '')
    const token = findToken(request)
    if (!isOperator(token)) {
      const message = token === undefined
        ? 'This page needs the admin token (ADMIN_TOKEN).'
        : 'The admin token is wrong.'
      reply.code(401).header('www-authenticate', 'Basic realm="Operators of this MCP server", charset="UTF-8"').header(
        'cache-control',
        'no-store'
      )
      return asJson
        ? reply.send({ error: 'unauthorized', error_description: message })
        : reply.sendPage(errorPage({ code: 'unauthorized', message }, request.id))
    }
    const report = await attempts.report()
    return asJson ? reply.header('cache-control', 'no-store').send(report) : reply.sendPage(attemptsPage(report))
  })
}

function findToken ({ headers: { authorization = '' } }: FastifyRequest): string | undefined {
  const [, bearer] = /^bearer +(\S+) *$/i.exec(authorization) ?? []
  if (bearer !== undefined) return bearer
  const [, basic] = /^basic +([A-Za-z0-9+/]+=*) *$/i.exec(authorization) ?? []
  return basic === undefined ? undefined : /:(.*)$/s.exec(Buffer.from(basic, 'base64').toString('utf8'))?.[1]
}
