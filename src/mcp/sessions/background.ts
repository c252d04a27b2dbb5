import type { Log } from '../../log.js'

/** Lets work continue without waiting for it; a failure is logged as `message`, with `about`. */
export function runInBackground (
  work: Promise<unknown>,
  log: Log,
  message: string,
  about: Record<string, unknown> = {}
): void {
  work.catch((err: unknown) => { log.error({ err, ...about }, message) })
}
