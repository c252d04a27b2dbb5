import { Type, type Static } from '@sinclair/typebox'
import type { FastifyBaseLogger, FastifyPluginAsync } from 'fastify'
import { underAnyPressure } from '../../plugins/app/pressure.js'
import { oneOfTexts } from '../schemas/requests.js'
import { jsonResponse } from '../schemas/responses.js'

export interface HealthOptions {
  /** What this process needs in order to serve: each rejects if it does not work. */
  checks: Record<string, () => Promise<void>>
}

type CheckResult = 'ok' | 'failing'

const HealthSchema = Type.Object({
  status: oneOfTexts(['ok', 'failing', 'closing']),
  checks: Type.Optional(Type.Record(Type.String(), oneOfTexts<CheckResult>(['ok', 'failing'])))
})
type Health = Static<typeof HealthSchema>

const aliveSchema = {
  tags: ['operations'],
  summary: 'This process is alive',
  response: { 200: jsonResponse('It is.', HealthSchema) }
}
const readySchema = {
  tags: ['operations'],
  summary: 'This process can serve',
  response: {
    200: jsonResponse('It can.', HealthSchema),
    503: jsonResponse('It cannot, or it is shutting down.', HealthSchema)
  }
}

/**
 * `GET /healthz`: this process is alive. `GET /readyz`: it can serve, and is not closing. For probes; nothing secret.
 */
export const healthRoutes: FastifyPluginAsync<HealthOptions> = async (app, { checks }) => {
  const options = { logLevel: 'warn' as const, config: underAnyPressure }
  let closed = false
  app.addHook('preClose', async () => { closed = true })

  app.get('/healthz', { ...options, schema: aliveSchema }, async (): Promise<Health> => ({ status: 'ok' }))

  // anybody may ask: requests that come at once share one check
  let checking: Promise<Array<readonly [name: string, result: CheckResult]>> | undefined
  const runChecks = (log: FastifyBaseLogger) => Promise.all(Object.entries(checks).map(async ([name, check]) => {
    const failure = await check().then(() => undefined, (err: unknown) => err)
    if (failure !== undefined) log.warn({ err: failure, check: name }, 'not ready')
    return [name, failure === undefined ? 'ok' : 'failing'] as const
  })).finally(() => { checking = undefined })

  app.get('/readyz', { ...options, schema: readySchema }, async (request, reply) => {
    checking ??= runChecks(request.log)
    const results = await checking
    const closing = closed || app.isLeaving()
    const ready = !closing && results.every(([, result]) => result === 'ok')
    const health: Health = {
      status: closing ? 'closing' : ready ? 'ok' : 'failing',
      checks: Object.fromEntries(results)
    }
    return reply.code(ready ? 200 : 503).send(health)
  })
}
