import { getHeapStatistics } from 'node:v8'
import underPressure from '@fastify/under-pressure'
import fp from 'fastify-plugin'
import { OverloadedError } from '../errors.js'

export interface PressureOptions {
  /** Mean delay of the event loop over a second; 0: no bound. */
  maxEventLoopDelayMs: number
  /** Default: nine tenths of what V8 may use. */
  maxHeapBytes: number | undefined
}

const RETRY_AFTER_SECONDS = 5

/** The route goes on where others are refused: for what tells of the process itself. */
export const underAnyPressure = { pressureHandler: () => undefined }

/**
 * Refuses requests (503) while this process cannot keep up, so that load balancers and clients turn to others, and what
 * runs is finished. Each part of the service puts the refusal in its own words.
 */
export const pressure = fp<PressureOptions>(async (app, { maxEventLoopDelayMs, maxHeapBytes = getHeapStatistics().heap_size_limit * 0.9 }) => {
  class PressureError extends OverloadedError {
    constructor () {
      super('This server is overloaded. Try again in a moment.', { retryAfterSeconds: RETRY_AFTER_SECONDS })
    }
  }
  await app.register(underPressure, { maxEventLoopDelay: maxEventLoopDelayMs, maxHeapUsedBytes: maxHeapBytes, retryAfter: RETRY_AFTER_SECONDS, customError: PressureError })
}, { name: 'pressure', fastify: '5.x' })
