import cors, { type FastifyCorsOptions } from '@fastify/cors'
import type { FastifyInstance, FastifyReply, FastifyRequest, onRequestHookHandler } from 'fastify'
import fp from 'fastify-plugin'
import type { RefuseMethod } from './other-methods.js'
import { derive } from '../../derive.js'

export interface ScopedCorsOptions {
  /** Paths that answer preflights. */
  paths: readonly string[]
  /** An `origin` that is a function is asked of requests with an `Origin` only. */
  cors: FastifyCorsOptions
  /** Responds to OPTIONS requests that are not preflights. */
  refuse: RefuseMethod
}

/** All that an app around us may have set for its own routes. */
const DEFAULTS = {
  credentials: false,
  allowedHeaders: null,
  exposedHeaders: null,
  maxAge: null,
  cacheControl: null,
  preflight: true,
  preflightContinue: false,
  strictPreflight: true,
  optionsSuccessStatus: 204
}

/**
 * `@fastify/cors` for the routes of this context only. By itself it answers OPTIONS on every path of the app, and
 * cannot be registered if an app around it has done so already. In that case its hook comes first: the routes' own
 * configuration makes it say what we say.
 */
export const scopedCors = fp<ScopedCorsOptions>(async (app, { paths, cors: options, refuse }) => {
  const methods = new Map<string, string[]>()
  app.addHook('onRoute', route => {
    route.config = Object.assign({}, route.config, { cors: { ...DEFAULTS, ...options } })
    if (route.method !== 'OPTIONS' && route.config.refused !== true) {
      methods.set(route.routePath, [...methods.get(route.routePath) ?? [], ...[route.method].flat()])
    }
  })
  const answerPreflights: FastifyInstance['options'] = (_url: string, route: object) => {
    for (const path of paths) {
      // a preflight is answered by the hook
      const handler = async (request: FastifyRequest, reply: FastifyReply) =>
        refuse(request, reply.header('allow', methods.get(path)?.join(', ') ?? ''))
      app.options(path, { ...route, onRequest: handler }, handler)
    }
    return app
  }
  const decorateRequest: FastifyInstance['decorateRequest'] = (name: string | symbol, ...value: unknown[]) => {
    if (!app.hasRequestDecorator(name)) Reflect.apply(app.decorateRequest, app, [name, ...value])
    return app
  }
  const addHook = (name: 'onRequest', hook: onRequestHookHandler) =>
    app.addHook(name, (request, reply, done) => {
      // OPTIONS that is not a preflight is a method like others
      if (request.method === 'OPTIONS' && !isPreflight(request)) {
        done()
        return
      }
      // most calls come from no browser, and caches are all that is to be told: it would come to that at ten times the
      // cost
      if (
        typeof options.origin === 'function' && request.headers.origin === undefined && request.method !== 'OPTIONS' &&
        !reply.hasHeader('vary')
      ) {
        reply.header('vary', 'Origin')
        done()
      } else {
        hook.call(app, request, reply, done)
      }
    })
  const scope: FastifyInstance = derive(app, {
    addHook: { value: addHook },
    options: { value: answerPreflights },
    decorateRequest: { value: decorateRequest }
  })
  await new Promise<void>((resolve, reject) => {
    cors(scope, options, error => { if (error === undefined) resolve(); else reject(error) })
  })
}, { name: 'fastify-mcp-oauth/scoped-cors', fastify: '5.x' })

// Fetch, CORS-preflight request
function isPreflight ({ headers }: FastifyRequest): boolean {
  return headers.origin !== undefined && headers['access-control-request-method'] !== undefined
}
