import cookie from '@fastify/cookie'
import cors from '@fastify/cors'
import formbody from '@fastify/formbody'
import helmet from '@fastify/helmet'
import rateLimit from '@fastify/rate-limit'
import Fastify, { type FastifyInstance } from 'fastify'

export const HOST_KEY = { 'x-key': 'the key of the host' }

// of ours, most of them
const APP_DECORATORS: readonly string[] = ['bearerAuth', 'oauthBroker', 'mcpSessions', 'mcpReplica', 'addDrain']
const REPLY_DECORATORS: readonly string[] = ['sendPage', 'sendInsufficientScope', 'setBrowserState']

/** Somebody's app: it has everything, and everything its own way. */
export async function createHost (): Promise<FastifyInstance> {
  const app = Fastify({ forceCloseConnections: true, handlerTimeout: 60_000, bodyLimit: 10_000 })
  await app.register(cors, {
    origin: 'https://app.example',
    credentials: true,
    allowedHeaders: ['x-key'],
    exposedHeaders: ['x-host'],
    methods: ['GET', 'PUT'],
    maxAge: 5
  })
  await app.register(helmet)
  await app.register(cookie, { secret: 'of the host' })
  await app.register(formbody)
  await app.register(rateLimit, { max: 10_000 })

  app.removeContentTypeParser('application/json')
  app.addContentTypeParser('application/json', { parseAs: 'string' }, (_request, body, done) => {
    try {
      const json: unknown = JSON.parse(body.toString())
      done(null, { parsedBy: 'the host', json })
    } catch {
      done(Object.assign(new Error('The host reads no such JSON.'), { statusCode: 422 }))
    }
  })
  app.addContentTypeParser('application/xml', { parseAs: 'string' }, (_request, body, done) => { done(null, body) })
  app.setErrorHandler((error, _request, reply) => {
    const status = error instanceof Error && 'statusCode' in error ? Number(error.statusCode) : 500
    return reply.code(status).send({ oops: error instanceof Error ? error.message : String(error) })
  })
  app.setNotFoundHandler((_request, reply) => reply.code(404).type('text/plain').send('the host knows no such place'))
  app.setReplySerializer(payload => JSON.stringify({ envelope: payload }))
  app.setSchemaErrorFormatter(errors => new Error(`the host says: ${errors.length} wrong`))
  for (const name of APP_DECORATORS) app.decorate(name, 'the host')
  app.decorateRequest('authInfo', { getter: () => null })
  for (const name of REPLY_DECORATORS) app.decorateReply(name, () => 'the host')
  app.addHook('onSend', async (_request, reply) => { reply.header('x-host', 'yes') })

  app.get('/', async () => ({ hello: 'host' }))
  app.get('/users/:id', async request => ({ params: request.params }))
  app.post('/form', async request => ({ form: request.body }))
  app.put('/xml', async request => ({ xml: request.body }))
  app.get('/cookie', async (request, reply) => reply.setCookie('host', 'crumb', { signed: true }).send(request.cookies))
  await app.register(async api => {
    api.addHook('onRequest', async request => {
      if (request.headers['x-key'] !== HOST_KEY['x-key']) {
        throw Object.assign(new Error('A key, please.'), { statusCode: 401 })
      }
    })
    api.get('/secret', async () => ({ secret: 42 }))
    api.delete('/secret', async () => ({ gone: true }))
  }, { prefix: '/api' })
  return app
}
