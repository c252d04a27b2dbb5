import type { BaseLogger } from 'pino'

/** Where the transports log: pino, or what Fastify takes for it. */
export type Log = Pick<BaseLogger, 'fatal' | 'error' | 'warn' | 'info' | 'debug' | 'trace'>

/** Where the broker logs. */
export interface BrokerLog {
  error (details: object, message: string): void
  warn (details: object, message: string): void
  info (details: object, message: string): void
}
