import { parseRecord } from '../../parse-record.js'
import type { ChainHead } from '../chain.js'
import type { AuditEvent } from '../event.js'

/**
 * Where audit events go.
 * @example
 * ```ts
 * import type { AuditSink } from 'fastify-mcp-oauth'
 *
 * export const sink: AuditSink = {
 *   async write (lines) {
 *     await fetch('https://logs.example.com/audit', { method: 'POST', body: lines })
 *   }
 * }
 * ```
 */
export interface AuditSink {
  /**
   * Opens it. It is called before the first `write`, and again after a failure.
   * @returns the end of the chain that it holds; undefined if there is none: a new one begins
   */
  open? (): Promise<ChainHead | undefined>
  /**
   * Takes events in their order: lines of JSON as UTF-8, each with its line break, in memory that is used again
   * afterwards. Resolves once they are kept. If it throws or rejects, none of them counts as kept: they come again.
   */
  write (lines: Uint8Array<ArrayBuffer>): void | Promise<void>
  /** Lets go of what is open, after the last `write`. */
  close? (): Promise<void>
}

/**
 * A sink, or a function that gets each event.
 * @example
 * ```ts
 * import type { AuditTarget } from 'fastify-mcp-oauth'
 *
 * export const sink: AuditTarget = event => { console.info(event.event.action, event.user?.id) }
 * ```
 */
export type AuditTarget = AuditSink | ((event: AuditEvent) => void | Promise<void>)

export function toSink (target: AuditTarget): AuditSink {
  if (typeof target !== 'function') return target
  return {
    async write (lines) {
      for (const line of new TextDecoder().decode(lines).split('\n').slice(0, -1)) {
        await target(parseRecord<AuditEvent>(line))
      }
    }
  }
}
