import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { MethodNotAllowedError, WrongMethodError } from '../../errors.js'
import { errorText } from '../../mcp/wire/messages.js'
import { jsonRpcCodes } from '../../json-rpc-codes.js'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** The route is there only to say that its path does not have this method. */
    refused?: true
  }
}

/** The name of the plugin that responds for all paths of an app. */
const METHOD_NOT_ALLOWED = 'fastify-mcp-oauth/method-not-allowed'

/** Refuses a request, whose `Allow` is set: throws what the context words in its own way, or sends it. */
export type RefuseMethod = (request: FastifyRequest, reply: FastifyReply) => FastifyReply

const messageFor = ({ method }: FastifyRequest) => `Method not allowed: ${method}.`

/** For MCP endpoints. @throws {MethodNotAllowedError} */
export const refuseMcpMethod: RefuseMethod = request => { throw new MethodNotAllowedError(messageFor(request)) }

/** For OAuth endpoints and pages. @throws {WrongMethodError} */
export const refuseOAuthMethod: RefuseMethod = request => { throw new WrongMethodError(messageFor(request)) }

/** For contexts without an error handler of their own. */
export const sendRefusal: RefuseMethod = (request, reply) => {
  const { code, message, statusCode } = new WrongMethodError(messageFor(request))
  return reply.code(statusCode).header('cache-control', 'no-store').send({
    error: code,
    error_description: message,
    request_id: request.id
  })
}

/**
 * Refuses the methods that a path does not have (405 with `Allow`; RFC 9110 15.5.6), after the hooks of its context and
 * before a body is read. A method that the app around has there already is left alone.
 * @param url that the refusals are registered with. Default: the path
 */
export function refuseOtherMethods (
  app: FastifyInstance, path: string, allowed: readonly string[], refuse: RefuseMethod, url = path
): void {
  const isTaken = (method: string) => [path, url].some(taken => app.hasRoute({ url: app.prefix + taken, method }))
  const method = app.supportedMethods.filter(method =>
    method !== 'OPTIONS' && !allowed.includes(method) && !isTaken(method)
  )
  if (method.length === 0) return
  const allow = allowed.join(', ')
  const handler = async (request: FastifyRequest, reply: FastifyReply) => refuse(request, reply.header('allow', allow))
  app.route({ method, url, config: { refused: true }, onRequest: handler, handler })
}

/**
 * The same for all paths of a context, in an app that is somebody else's: begin before its routes, and call what is
 * returned after them. The refusals have patterns, which any route of that app for the path itself comes before,
 * whenever it is made.
 */
export function watchMethods (app: FastifyInstance, refuse: RefuseMethod): () => void {
  // the service has one answer for all
  if (app.hasPlugin(METHOD_NOT_ALLOWED)) return () => {}
  const methods = methodsByPath(app, ({ routePath }) => routePath)
  return () => {
    for (const [path, allowed] of methods) {
      if (path !== '/') refuseOtherMethods(app, path, [...allowed], refuse, patternFor(path))
    }
  }
}

/** `/authorize/:own(^c$)onsent`: for the router, patterns that differ in an expression alone are the same. */
function patternFor (path: string): string {
  return path.replace(/[^/](?=[^/]*$)/, first => `:own(^${first}$)`)
}

/** Collects what the routes of a context have, as they are made. */
function methodsByPath (
  app: FastifyInstance, pathFrom: (route: { routePath: string, url: string }) => string
): Map<string, Set<string>> {
  const methods = new Map<string, Set<string>>()
  app.addHook('onRoute', route => {
    if (route.config?.refused === true) return
    const path = pathFrom(route)
    for (const method of [route.method].flat()) {
      if (method !== 'OPTIONS') methods.set(path, (methods.get(path) ?? new Set()).add(method))
    }
  })
  return methods
}

/**
 * Answers 405 with `Allow` for every path of the service, and every method, those that Fastify does not know among
 * them. Register it before all routes, in an app that is nobody else's.
 */
export const methodNotAllowed = fp<{ mcpPaths: readonly string[] }>(async (app, { mcpPaths }) => {
  const methods = methodsByPath(app, ({ url }) => url)
  app.addHook('onRequest', (request, reply, done) => {
    const path = request.is404 ? findPath(request.url) : undefined
    const allowed = path === undefined ? undefined : methods.get(path)
    if (path === undefined || allowed === undefined) {
      done()
      return
    }
    reply.header('allow', [...allowed].join(', '))
    if (mcpPaths.includes(path)) {
      reply.code(405).header('cache-control', 'no-store').type('application/json; charset=utf-8')
      reply.send(errorText(jsonRpcCodes.serverError, messageFor(request)))
    } else {
      sendRefusal(request, reply)
    }
  })
}, { name: METHOD_NOT_ALLOWED, fastify: '5.x' })

/** The path of a request as the router sees it; undefined if it cannot be read. */
function findPath (url: string): string | undefined {
  try {
    return decodeURIComponent(url.replace(/[?;#].*/s, '')).replace(/(.)\/$/, '$1')
  } catch {
    return undefined
  }
}
