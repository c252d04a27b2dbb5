import { getHeapStatistics } from 'node:v8'
import underPressure from '@fastify/under-pressure'
import fp from 'fastify-plugin'
import { OverloadedError, passesIn } from '../../errors.js'

export interface PressureOptions {
  /** Mean delay of the event loop over a second; 0: no bound. */
  maxEventLoopDelayMs: number
  /** Default: nine tenths of what V8 may use. */
  maxHeapBytes: number | undefined
}

const RETRY_AFTER_SECONDS = 5
const SAMPLE_MS = 1000

/** The route is served even if others are refused: for routes that report on the process itself. */
export const underAnyPressure = { pressureHandler: () => undefined }

/**
 * Refuses requests (503) while this process is overloaded, so that load balancers and clients turn to others, and
 * running requests finish. Each part of the service words the refusal itself.
 */
export const pressure = fp<PressureOptions>(
  async (app, { maxEventLoopDelayMs, maxHeapBytes = getHeapStatistics().heap_size_limit * 0.9 }) => {
    let settlesAt = 0
    // the delays of the start itself are in the first sample, which counts until the second
    app.addHook('onListen', async () => {
      settlesAt = performance.now() + 2 * SAMPLE_MS
    })

    await app.register(underPressure, {
      maxEventLoopDelay: maxEventLoopDelayMs,
      maxHeapUsedBytes: maxHeapBytes,
      sampleInterval: SAMPLE_MS,
      pressureHandler: async (_request, reply, type) => {
        if (type === underPressure.TYPE_EVENT_LOOP_DELAY && performance.now() < settlesAt) return
        // for routes with an error handler of their own
        reply.header('retry-after', String(RETRY_AFTER_SECONDS))
        throw new OverloadedError(...passesIn(RETRY_AFTER_SECONDS, 'This server is overloaded.'))
      }
    })
  },
  { name: 'fastify-mcp-oauth/pressure', fastify: '5.x' }
)
