import type { FastifyInstance } from 'fastify'
import t from 'tap'
import { buildApp } from '../../src/app.js'
import { loadConfig } from '../../src/config/config.js'
import { createServer } from '../support/sample-server.js'
import { QUIET } from '../support/service.js'

type Document = {
  paths: Record<string, Record<string, { responses: object }>>
  components: { schemas: object, securitySchemes: object }
}

// answered 405
const REFUSED = new Set(['/messages get', '/messages delete', '/sse post', '/sse delete'])

/** What the app serves, such as `/mcp post`, from the tree that Fastify prints. */
function served (app: FastifyInstance): string[] {
  const parents: string[] = []
  return app.printRoutes({ commonPrefix: false }).split('\n').flatMap(line => {
    const [, indent = '', part = '', methods = ''] = /^([│ ]*)[├└]── (\S+) \(([^)]*)\)/.exec(line) ?? []
    if (part === '') return []
    const depth = indent.length / 4
    const path = `${parents[depth - 1] ?? ''}${part}`.replace('//', '/')
    parents[depth] = path
    return methods.toLowerCase().split(', ').filter(method => !/^(?:head|options|put|patch|trace|query)$/.test(method))
      .map(method => `${path} ${method}`)
  })
}

const cases = {
  'a broker with sessions': {},
  'a broker without sessions, in production': { SESSION_MODE: 'stateless', NODE_ENV: 'production' },
  'a resource server': { AUTH_MODE: 'resource-server' },
  'with all that operators may see': {
    ADMIN_TOKEN: 'an-admin-token-of-tests',
    METRICS_TOKEN: 'a-metrics-token-of-tests'
  }
}
for (const [name, environment] of Object.entries(cases)) {
  t.test(`the document has what is served, and no more: ${name}`, async t => {
    const app = await buildApp(
      loadConfig({
        ...QUIET,
        OAUTH_ISSUER_URL: 'https://login.example',
        PUBLIC_URL: 'https://mcp.example',
        ...environment
      }, { dotenv: false }),
      { createServer }
    )
    t.teardown(() => app.close())
    const answer = await app.inject({ url: '/openapi.json' })
    t.match(answer, { statusCode: 200, headers: { 'content-type': /^application\/json/ } })
    const document: Document = answer.json()
    const refused = (route: string) =>
      REFUSED.has(route) || (name.includes('without sessions') && /^\/mcp (?!post)/.test(route))
    const documented = Object.entries(document.paths).flatMap(([path, operations]) =>
      Object.keys(operations).map(method => `${path} ${method}`)
    )
    t.strictSame(documented.sort(), served(app).filter(route => !refused(route)).sort())
    t.ok(documented.length > 7)

    const { schemas, securitySchemes } = document.components
    const text = JSON.stringify(document.paths)
    for (const [, schema = ''] of text.matchAll(/#\/components\/schemas\/(\w+)/g)) t.ok(schema in schemas, schema)
    for (const [, scheme = ''] of text.matchAll(/"(\w+)":\[\]/g)) t.ok(scheme in securitySchemes, scheme)
    t.match(document, { openapi: '3.1.0', servers: [{ url: 'https://mcp.example' }] })
  })
}
