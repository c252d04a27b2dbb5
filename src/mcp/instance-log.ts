import type { CallerInfo } from '../caller.js'
import type { Log } from '../log.js'

/** What a server instance serves. */
export interface Served {
  /** What the log calls the HTTP request; absent if the log knows. */
  readonly requestId?: string | undefined
  /** Of the session, if there is one. */
  readonly record?: { readonly id: string } | undefined
  /** Who called last. */
  readonly caller: CallerInfo
}

type Write = (first: unknown, ...more: unknown[]) => void

/** A log whose lines also say which request, session, grant and client they belong to. @param read asked for each */
export function instanceLog (log: Log, read: () => Served): Log {
  const writer = (level: keyof Log): Write => (first, ...more) => {
    const ids = toMembers(read())
    if (typeof first === 'string') log[level](ids, first, ...more)
    else if (first instanceof Error) {
      const [text = first.message, ...values] = more
      log[level]({ ...ids, err: first }, String(text), ...values)
    } else {
      const [text, ...values] = more
      const details = { ...ids, ...typeof first === 'object' && first }
      if (text === undefined) log[level](details)
      else log[level](details, String(text), ...values)
    }
  }
  return {
    fatal: writer('fatal'),
    error: writer('error'),
    warn: writer('warn'),
    info: writer('info'),
    debug: writer('debug'),
    trace: writer('trace')
  }
}

function toMembers ({ requestId, record, caller: { clientId, extra: { grantId } } }: Served): object {
  return {
    ...requestId !== undefined && { reqId: requestId },
    ...record !== undefined && { sessionId: record.id },
    ...clientId !== '' && { clientId },
    ...grantId !== undefined && { grantId }
  }
}
