import type { FastifyPluginAsync } from 'fastify'
import { underAnyPressure } from '../plugins/pressure.js'

export interface HealthOptions {
  /** What must work for this process to serve: each rejects where it does not. */
  checks: Record<string, () => Promise<void>>
}

/** `GET /healthz`: this process is alive. `GET /readyz`: it can serve, and is not closing. For probes; nothing secret. */
export const healthRoutes: FastifyPluginAsync<HealthOptions> = async (app, { checks }) => {
  let closed = false
  app.addHook('preClose', async () => { closed = true })

  app.get('/healthz', { logLevel: 'warn', config: underAnyPressure }, async () => ({ status: 'ok' }))

  app.get('/readyz', { logLevel: 'warn', config: underAnyPressure }, async (request, reply) => {
    const results = await Promise.all(Object.entries(checks).map(async ([name, check]) => {
      const failure = await check().then(() => undefined, (err: unknown) => err)
      if (failure !== undefined) request.log.warn({ err: failure, check: name }, 'not ready')
      return [name, failure === undefined ? 'ok' : 'failing'] as const
    }))
    const closing = closed || app.isLeaving()
    const ready = !closing && results.every(([, result]) => result === 'ok')
    return reply.code(ready ? 200 : 503).send({ status: closing ? 'closing' : ready ? 'ok' : 'failing', checks: Object.fromEntries(results) })
  })
}
