import type { FastifyBaseLogger, FastifyPluginAsync } from 'fastify'
import { underAnyPressure } from '../../plugins/app/pressure.js'

export interface HealthOptions {
  /** What must work for this process to serve: each rejects where it does not. */
  checks: Record<string, () => Promise<void>>
}

/** `GET /healthz`: this process is alive. `GET /readyz`: it can serve, and is not closing. For probes; nothing secret. */
export const healthRoutes: FastifyPluginAsync<HealthOptions> = async (app, { checks }) => {
  let closed = false
  app.addHook('preClose', async () => { closed = true })

  app.get('/healthz', { logLevel: 'warn', config: underAnyPressure }, async () => ({ status: 'ok' }))

  // one check for all who ask at once: anybody may
  let checking: Promise<Array<readonly [name: string, result: 'ok' | 'failing']>> | undefined
  const runChecks = (log: FastifyBaseLogger) => Promise.all(Object.entries(checks).map(async ([name, check]) => {
    const failure = await check().then(() => undefined, (err: unknown) => err)
    if (failure !== undefined) log.warn({ err: failure, check: name }, 'not ready')
    return [name, failure === undefined ? 'ok' : 'failing'] as const
  })).finally(() => { checking = undefined })

  app.get('/readyz', { logLevel: 'warn', config: underAnyPressure }, async (request, reply) => {
    checking ??= runChecks(request.log)
    const results = await checking
    const closing = closed || app.isLeaving()
    const ready = !closing && results.every(([, result]) => result === 'ok')
    return reply.code(ready ? 200 : 503).send({
      status: closing ? 'closing' : ready ? 'ok' : 'failing',
      checks: Object.fromEntries(results)
    })
  })
}
