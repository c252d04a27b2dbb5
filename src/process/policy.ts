import type { FastifyBaseLogger } from 'fastify'

export interface ProcessPolicyOptions {
  log: Pick<FastifyBaseLogger, 'error'>
  /** Hears of each, for figures. */
  onUnhandledRejection: () => void
}

/**
 * A promise that was rejected, and that nobody holds, ends no process: it is one caller's request, or something that the
 * hosted server let go of, and the streams of all others go on. It is logged and counted. An uncaught exception is
 * another matter: what it left half done nobody knows, so the process ends with grace and exit code 1.
 */
export function surviveUnhandledRejections ({ log, onUnhandledRejection }: ProcessPolicyOptions): void {
  process.on('unhandledRejection', reason => {
    onUnhandledRejection()
    log.error(
      { err: reason instanceof Error ? reason : new Error(String(reason)) },
      'a promise was rejected, and nobody handled it'
    )
  })
}
