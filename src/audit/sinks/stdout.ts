import type { AuditSink } from './sink.js'

/**
 * Writes audit events to the standard output, for whatever collects it. Each process begins a chain.
 * @example
 * ```ts
 * import { auditToStdout } from 'fastify-mcp-oauth'
 *
 * export const audit = { sink: auditToStdout() }
 * ```
 */
export function auditToStdout (stream: NodeJS.WritableStream = process.stdout): AuditSink {
  return {
    write: lines => new Promise((resolve, reject) => {
      stream.write(lines, error => {
        if (error == null) resolve()
        else reject(error)
      })
    })
  }
}
