import type { FastifyBaseLogger } from 'fastify'

export interface ProcessPolicyOptions {
  log: Pick<FastifyBaseLogger, 'error'>
  /** Called for each, to count them. */
  onUnhandledRejection: () => void
}

/**
 * Keeps an unhandled rejection from ending the process: it belongs to one caller's request, or to a promise that the
 * hosted server dropped, and must not close everybody's streams. It is logged and counted. An uncaught exception is
 * different: it may leave anything half done, so the process closes gracefully, with exit code 1.
 */
export function surviveUnhandledRejections ({ log, onUnhandledRejection }: ProcessPolicyOptions): void {
  process.on('unhandledRejection', reason => {
    onUnhandledRejection()
    log.error(
      { err: reason instanceof Error ? reason : new Error(String(reason)) },
      'unhandled promise rejection'
    )
  })
}
