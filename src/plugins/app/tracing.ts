import { context } from '@opentelemetry/api'
import fp from 'fastify-plugin'

/**
 * A span for each request (`@fastify/otel`), which joins the trace that the request's headers name. The SDK, with its
 * exporter, is the operator's. Register it before all routes.
 */
export const tracing = fp(async app => {
  // of use to nobody who does not trace
  const { FastifyOtelInstrumentation } = await import('@fastify/otel')
  const instrumentation = new FastifyOtelInstrumentation({
    instrumentHooks: false,
    instrumentHandler: false,
    requestHook: (span, { method, url, routeOptions }) => {
      // a query holds codes and states
      span.setAttribute('url.path', url.replace(/\?.*/s, ''))
      if (routeOptions.url !== undefined) span.updateName(`${method} ${routeOptions.url}`)
    }
  })
  await app.register(instrumentation.plugin())
  // reading a body loses the context
  app.addHook('preHandler', (request, _reply, done) => {
    context.with(request.opentelemetry().context ?? context.active(), done)
  })
}, { name: 'fastify-mcp-oauth/tracing', fastify: '5.x' })
