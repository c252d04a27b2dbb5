import { Type } from '@sinclair/typebox'
import type { FastifyPluginAsync } from 'fastify'
import { equalSecrets } from '../../oauth/secrets.js'
import type { Metrics } from '../../observability/metrics.js'
import { underAnyPressure } from '../../plugins/app/pressure.js'
import { security } from '../schemas/requests.js'
import { emptyResponse } from '../schemas/responses.js'

export interface MetricsRouteOptions {
  metrics: Metrics
  /** The bearer token that is required. Absent: none is. */
  token: string | undefined
}

const schema = {
  tags: ['operations'],
  summary: 'Metrics for Prometheus',
  security: security.metrics,
  response: {
    200: { description: 'The metrics.', content: { 'text/plain': { schema: Type.String() } } },
    401: emptyResponse('The token is missing or wrong.')
  }
}

/** `GET /metrics`: the metrics of this process, for Prometheus. */
export const metricsRoute: FastifyPluginAsync<MetricsRouteOptions> = async (app, { metrics: { registry }, token }) => {
  app.get('/metrics', { schema, logLevel: 'warn', config: underAnyPressure }, async (request, reply) => {
    // the router accepts more spellings of this path than a proxy's rule that keeps it private
    if (request.raw.url?.split('?', 1)[0] !== '/metrics') return reply.callNotFound()
    reply.header('cache-control', 'no-store')
    if (token !== undefined && !equalSecrets(request.headers.authorization ?? '', `Bearer ${token}`)) {
      return reply.code(401).header('www-authenticate', 'Bearer realm="metrics"').send()
    }
    return reply.type(registry.contentType).send(await registry.metrics())
  })
}
