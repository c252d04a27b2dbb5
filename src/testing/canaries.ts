import type { FastifyInstance, InjectOptions } from 'fastify'
import fp from 'fastify-plugin'

export interface CanariesOptions {
  /** Is given the decorators that are seen where they live. */
  decorators: Map<string, string>
}

const ROOT = '/assert-pluggable'
const PLACES = [ROOT, `${ROOT}/child`]
const ORIGIN = 'https://a-site.example'

/** Routes that are added last, to the app itself and to a context in it: what leaked before them reaches them. */
export const canaries = fp<CanariesOptions>(async (app, { decorators }) => {
  const add = async (context: FastifyInstance) => {
    context.get('/canary', async (request, reply) => {
      for (const [owner, object] of [['app', context], ['request', request], ['reply', reply]] as const) {
        for (const name of listNames(object)) decorators.set(`${owner}.${name}`, 'present')
      }
      return { canary: 'sings', with: 'JSON' }
    })
    context.get('/error', async () => {
      throw Object.assign(new Error('The canary fell.'), { statusCode: 418, code: 'CANARY_FELL' })
    })
    context.get('/crash', async () => {
      throw new Error('The canary crashed.')
    })
    context.get(
      '/schema',
      { schema: { querystring: { type: 'object', properties: { n: { type: 'integer' } } } } },
      async request => request.query
    )
    context.post(
      '/echo',
      async request => ({ body: typeof request.body === 'string' ? request.body : JSON.stringify(request.body) })
    )
    context.delete('/echo', async () => ({ deleted: true }))
  }
  for (const prefix of PLACES) await app.register(add, { prefix: prefix.slice(app.prefix.length) })
  // of the app itself: its own hooks, which a context has by inheritance
  app.get(`${ROOT}/own`, async () => ({ canary: 'sings' }))
}, { name: 'fastify-mcp-oauth/assert-pluggable-canaries', fastify: '5.x' })

const PREFLIGHT = {
  origin: ORIGIN,
  'access-control-request-method': 'POST',
  'access-control-request-headers': 'x-a-header'
}

function bodies (url: string): InjectOptions[] {
  const post = (type: string, payload: string): InjectOptions => ({
    method: 'POST',
    url,
    headers: { 'content-type': type },
    payload
  })
  return [
    post('application/json', '{"a":[1]}'),
    post('application/json; charset=utf-8', '{"a":'),
    post('application/x-www-form-urlencoded', 'a=1&b=2'),
    post('text/plain', 'some text'),
    post('application/vnd.assert-pluggable', 'x'),
    { method: 'POST', url, headers: { 'content-type': 'application/problem+json' }, payload: '' },
    { method: 'DELETE', url, headers: { 'content-type': 'application/json' } }
  ]
}

/** Requests to the canaries, and to unknown paths. */
export const canaryProbes: readonly InjectOptions[] = [
  ...PLACES.flatMap((place): InjectOptions[] => [
    { url: `${place}/canary`, headers: { origin: ORIGIN } },
    { method: 'OPTIONS', url: `${place}/canary`, headers: PREFLIGHT },
    { method: 'PUT', url: `${place}/canary` },
    { url: `${place}/error` },
    { url: `${place}/crash` },
    { url: `${place}/schema?n=none` },
    ...bodies(`${place}/echo`)
  ]),
  { url: `${ROOT}/own`, headers: { origin: ORIGIN } },
  { url: `${ROOT}/unknown`, headers: { origin: ORIGIN } },
  { method: 'OPTIONS', url: `${ROOT}/unknown`, headers: PREFLIGHT },
  { method: 'POST', url: `${ROOT}/unknown`, headers: { 'content-type': 'application/json' }, payload: '{' },
  { url: '/%' }
]

/** Names of all properties, inherited ones too. */
function listNames (object: object): string[] {
  const names: string[] = []
  for (let at: object | null = object; at !== null && at !== Object.prototype; at = Reflect.getPrototypeOf(at)) {
    names.push(...Object.getOwnPropertyNames(at))
  }
  return names
}
