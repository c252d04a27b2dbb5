import cors, { type FastifyCorsOptions } from '@fastify/cors'
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'

export interface ScopedCorsOptions {
  /** Paths that answer preflights. */
  paths: readonly string[]
  cors: FastifyCorsOptions
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
 * cannot be registered where an app around it has done so already. Where one has, its hook comes first: the routes' own
 * configuration makes it say what we say.
 */
export const scopedCors = fp<ScopedCorsOptions>(async (app, { paths, cors: options }) => {
  app.addHook('onRoute', route => { route.config = Object.assign({}, route.config, { cors: { ...DEFAULTS, ...options } }) })
  const answerPreflights: FastifyInstance['options'] = (_url, ...route: [object, ...unknown[]]) => {
    for (const path of paths) Reflect.apply(app.options, app, [path, ...route])
    return app
  }
  const decorateRequest: FastifyInstance['decorateRequest'] = (name: string | symbol, ...value: unknown[]) => {
    if (!app.hasRequestDecorator(name)) Reflect.apply(app.decorateRequest, app, [name, ...value])
    return app
  }
  const scope: FastifyInstance = Object.create(app, { options: { value: answerPreflights }, decorateRequest: { value: decorateRequest } })
  await new Promise<void>((resolve, reject) => {
    cors(scope, options, error => { if (error === undefined) resolve(); else reject(error) })
  })
}, { name: 'scoped-cors', fastify: '5.x' })
