import { Type, type Static } from '@sinclair/typebox'
import { setTimeout as delay } from 'node:timers/promises'
import type { FastifyBaseLogger, FastifyPluginAsync } from 'fastify'
import { underAnyPressure } from '../../plugins/app/pressure.js'
import { oneOfTexts } from '../schemas/requests.js'
import { jsonResponse } from '../schemas/responses.js'

export interface HealthOptions {
  /** What this process needs in order to serve: each rejects if it does not work. */
  checks: Record<string, () => Promise<void>>
  /** What some requests need, and others do not: it is shown, and does not decide. */
  alsoShown?: Record<string, () => Promise<void>>
  /** Called with each result. */
  onResult?: (check: string, ok: boolean) => void
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
export const healthRoutes: FastifyPluginAsync<HealthOptions> = async (
  app,
  { checks, alsoShown = {}, onResult = () => {} }
) => {
  const options = { logLevel: 'warn' as const, config: underAnyPressure }
  let closed = false
  app.addHook('preClose', async () => { closed = true })

  app.get('/healthz', { ...options, schema: aliveSchema }, async (): Promise<Health> => ({ status: 'ok' }))

  // anybody may ask: requests that come at once share one check
  let checking: Promise<Array<readonly [name: string, result: CheckResult]>> | undefined
  const watched = Object.entries(alsoShown).map(([name, check]) => new WatchedCheck(name, check, app.log))
  const runChecks = (log: FastifyBaseLogger) => Promise.all([
    ...Object.entries(checks).map(async ([name, check]) => {
      const failure = await check().then(() => undefined, (err: unknown) => err)
      if (failure !== undefined) log.warn({ err: failure, check: name }, 'not ready')
      return [name, failure === undefined ? 'ok' : 'failing'] as const
    }),
    ...watched.map(async check => [check.name, await check.run()] as const)
  ]).finally(() => { checking = undefined })

  app.get('/readyz', { ...options, schema: readySchema }, async (request, reply) => {
    checking ??= runChecks(request.log)
    const results = await checking
    const closing = closed || app.isLeaving()
    for (const [name, result] of results) onResult(name, result === 'ok')
    const ready = !closing && results.every(([name, result]) => result === 'ok' || Object.hasOwn(alsoShown, name))
    const health: Health = {
      status: closing ? 'closing' : ready ? 'ok' : 'failing',
      checks: Object.fromEntries(results)
    }
    return reply.code(ready ? 200 : 503).send(health)
  })
}

// load balancers give a probe a second or two
const PATIENCE_MS = 500

/** A check that nobody waits for: a slow one counts as failing until it has ended. Changes are logged, each once. */
class WatchedCheck {
  readonly name: string
  readonly #check: () => Promise<void>
  readonly #log: FastifyBaseLogger
  #running: Promise<CheckResult> | undefined
  #last: CheckResult = 'ok'

  constructor (name: string, check: () => Promise<void>, log: FastifyBaseLogger) {
    this.name = name
    this.#check = check
    this.#log = log
  }

  async run (): Promise<CheckResult> {
    this.#running ??= this.#check().then(() => this.#ended('ok'), (err: unknown) => this.#ended('failing', err))
      .finally(() => { this.#running = undefined })
    return await Promise.race([this.#running, delay<CheckResult>(PATIENCE_MS, 'failing', { ref: false })])
  }

  #ended (result: CheckResult, err?: unknown): CheckResult {
    if (result === 'failing' && this.#last === 'ok') {
      this.#log.error({ err, check: this.name }, `${this.name} cannot be reached: what needs it fails, the rest works`)
    } else if (result === 'ok' && this.#last === 'failing') {
      this.#log.info({ check: this.name }, `${this.name} can be reached again`)
    }
    this.#last = result
    return result
  }
}
