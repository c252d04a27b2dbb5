import { AssertionError } from 'node:assert'
import type { FastifyInstance, InjectOptions } from 'fastify'
import { canaries, canaryProbes } from './canaries.js'
import { listRoutes, routeProbes } from './listed-routes.js'

/**
 * What is plugged into which app, for `assertPluggable`.
 * @example
 * ```ts
 * import { bearerAuth } from 'fastify-mcp-oauth'
 * import type { PluggableOptions } from 'fastify-mcp-oauth/testing'
 * import { buildApp } from './app.js'
 * import { verifyAccessToken } from './tokens.js'
 *
 * const resourceMetadataUrl = () => 'https://mcp.example.com/.well-known/oauth-protected-resource/mcp'
 * export const options: PluggableOptions = {
 *   createHost: () => buildApp(),
 *   plug: app => app.register(bearerAuth, { verifyAccessToken, resourceMetadataUrl, scopes: ['mcp'] }),
 *   decorators: ['app.bearerAuth', 'request.authInfo', 'reply.sendInsufficientScope']
 * }
 * ```
 */
export interface PluggableOptions {
  /**
   * Makes the app around, with everything it has but what is plugged in. It is called three times, and must not listen.
   */
  createHost: () => FastifyInstance | Promise<FastifyInstance>
  /** Plugs it in, as the app would. */
  plug: (app: FastifyInstance) => unknown
  /**
   * Requests whose answers must stay as they are, beyond those that are made of the app's routes: logins, uploads,
   * errors.
   */
  probes?: ReadonlyArray<string | InjectOptions>
  /** Headers of all requests, such as a login. */
  headers?: Readonly<Record<string, string>>
  /** Decorators that may come in, as in `app.mcpSessions`, `request.authInfo`, `reply.sendPage`. */
  decorators?: readonly string[]
}

/** What is seen of an app: answers (their status, headers and body), hooks of routes, parsers, decorators. */
type Observation = Map<string, Map<string, string>>

const MEDIA_TYPES = [
  'application/json',
  'text/plain',
  'application/x-www-form-urlencoded',
  'multipart/form-data',
  'application/octet-stream',
  'application/xml'
]
// times differ between two runs: only their presence is compared
const TIMES = /^header (date|expires|age|retry-after|.*-reset|.*-time|server-timing)$/

/**
 * Asserts that a plugin may be plugged into an app: that nothing of it reaches what is not its own. The app is made
 * with it and without it, and compared: its routes and their hooks, what they answer (status, headers, body), CORS
 * preflights, errors, unknown paths and verbs, body parsers, decorators, and routes that are added later. GET routes
 * are asked as they are; to others only bodies are sent that cannot be read. What differs each time without the plugin
 * has to be there with it.
 * @throws {AssertionError} that names every difference
 * @example
 * ```ts
 * import { mcpService } from 'fastify-mcp-oauth'
 * import { assertPluggable } from 'fastify-mcp-oauth/testing'
 * import { buildApp } from './app.js'
 * import { options } from './options.js'
 *
 * await assertPluggable({
 *   createHost: () => buildApp(),
 *   plug: app => app.register(mcpService, { ...options, prefix: '/ai' }),
 *   probes: ['/orders', { method: 'POST', url: '/login', payload: { email: 'alice@example.com' } }]
 * })
 * ```
 */
export async function assertPluggable (options: PluggableOptions): Promise<void> {
  const before = await observe(options)
  const after = await observe(options, before)
  const again = await observe(options)
  const differences = [...before].flatMap(([what, traits]) => compare(what, traits, after.get(what), again.get(what)))
  const allowed = new Set(options.decorators?.map(name => `decorators, ${name}`))
  const unexpected = differences.filter(({ where }) => !allowed.has(where))
  if (unexpected.length === 0) return
  const lines = unexpected.map(({ where, was, is }) => `- ${where}: ${was ?? '(absent)'} -> ${is ?? '(absent)'}`)
  throw new AssertionError({
    message: `The app around is not left alone (what differs: without -> with):\n${lines.join('\n')}`
  })
}

/** @param plugged what was seen without the plugin; given, it is plugged in */
async function observe (
  { createHost, plug, probes = [], headers = {} }: PluggableOptions,
  plugged?: Observation
): Promise<Observation> {
  const app = await createHost()
  const seen: Observation = new Map()
  try {
    // what the app has registered, and not awaited, comes before what is plugged in
    await app.after()
    if (plugged !== undefined) await plug(app)
    const decorators = new Map<string, string>()
    await app.register(canaries, { decorators })
    await app.ready()

    const routes = listRoutes(app)
    const foreign = plugged === undefined ? routes : new Map([...routes].filter(([route]) => plugged.has(route)))
    for (const [route, hooks] of foreign) seen.set(route, hooks)
    seen.set('parsers', new Map(MEDIA_TYPES.map(type => [type, String(app.hasContentTypeParser(type))])))
    for (const probe of [...canaryProbes, ...routeProbes([...foreign.keys()]), ...probes]) {
      const request = typeof probe === 'string' ? { url: probe } : probe
      const name = `${describeRequest(request)}${seen.has(describeRequest(request)) ? `, answer ${seen.size}` : ''}`
      const answer = await app.inject({ ...request, headers: { ...headers, ...request.headers } })
      seen.set(name, new Map([
        ['status', String(answer.statusCode)],
        ...Object.entries(answer.headers).map(([header, value]) => [`header ${header}`, String(value)] as const),
        ['body', answer.body]
      ]))
    }
    seen.set('decorators', decorators)
    return seen
  } finally {
    await app.close()
  }
}

interface Difference {
  where: string
  was: string | undefined
  is: string | undefined
}

function compare (
  what: string,
  before: Map<string, string>,
  after: Map<string, string> = new Map(),
  again: Map<string, string> = new Map()
): Difference[] {
  return [...new Set([...before.keys(), ...after.keys()])].flatMap(trait => {
    const [was, is] = [before.get(trait), after.get(trait)]
    const varies = TIMES.test(trait) || was !== again.get(trait)
    const same = varies ? (was === undefined) === (is === undefined) : was === is
    return same ? [] : [{ where: `${what}, ${trait}`, was, is }]
  })
}

function describeRequest ({ method = 'GET', url, headers = {} }: InjectOptions): string {
  const type = headers['content-type']
  return `${method} ${typeof url === 'string' ? url : JSON.stringify(url)}${
    type === undefined ? '' : ` with ${String(type)}`
  }`
}
