import type { FastifyPluginAsync } from 'fastify'
import { equalSecrets } from '../../oauth/secrets.js'
import type { Metrics } from '../../observability/metrics.js'
import { underAnyPressure } from '../../plugins/app/pressure.js'

export interface MetricsRouteOptions {
  metrics: Metrics
  /** What the reader has to bring as its bearer token. Absent: anybody may read. */
  token: string | undefined
}

/** `GET /metrics`: the figures of this process, for Prometheus. */
export const metricsRoute: FastifyPluginAsync<MetricsRouteOptions> = async (app, { metrics: { registry }, token }) => {
  app.get('/metrics', { logLevel: 'warn', config: underAnyPressure }, async (request, reply) => {
    // the router takes more spellings for this path than the rule of a proxy that keeps it inside
    if (request.raw.url?.split('?', 1)[0] !== '/metrics') return reply.callNotFound()
    reply.header('cache-control', 'no-store')
    if (token !== undefined && !equalSecrets(request.headers.authorization ?? '', `Bearer ${token}`)) {
      return reply.code(401).header('www-authenticate', 'Bearer realm="metrics"').send()
    }
    return reply.type(registry.contentType).send(await registry.metrics())
  })
}
