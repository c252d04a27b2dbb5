import type { AuditedArgument } from '../audit/arguments.js'
import type { AuditOptions } from '../audit/auditor.js'
import { auditToFile } from '../audit/sinks/file.js'
import { auditToStdout } from '../audit/sinks/stdout.js'
import { ConfigError } from '../errors.js'
import { quoted } from '../validation/check.js'
import type { Environment } from './environment.js'
import { split } from './values.js'

const ARGUMENT = /^(?<tool>.+)\.(?<argument>[^.:]+)(?::(?<as>keep|hash))?$/

/**
 * Where the audit log goes; undefined: nowhere.
 * @throws {ConfigError}
 */
export function toAuditOptions (env: Environment): AuditOptions | undefined {
  const sink = toSink(env)
  const audited = split(env.AUDIT_ARGUMENTS, ',').map(parseArgument)
  if (sink !== undefined) {
    return { sink, required: env.AUDIT_REQUIRED, arguments: audited, maxQueuedBytes: env.AUDIT_QUEUE_BYTES }
  }
  if (env.AUDIT_REQUIRED) {
    throw new ConfigError('AUDIT_REQUIRED is true, but AUDIT_LOG is off; it takes stdout or file:PATH.')
  }
  return undefined
}

function toSink ({ AUDIT_LOG: target, AUDIT_FILE_MAX_BYTES: maxBytes, AUDIT_FSYNC: fsync }: Environment) {
  if (target === 'off') return undefined
  if (target === 'stdout') return auditToStdout()
  const path = /^file:(.+)$/.exec(target)?.[1]
  if (path === undefined) throw new ConfigError(`AUDIT_LOG is ${quoted(target)}; it takes stdout, file:PATH or off.`)
  return auditToFile(path, { maxBytes, fsync })
}

function parseArgument (text: string): AuditedArgument {
  const { tool, argument, as } = ARGUMENT.exec(text)?.groups ?? {}
  if (tool === undefined || argument === undefined) {
    throw new ConfigError(
      `AUDIT_ARGUMENTS has ${quoted(text)}; it takes tool.argument, tool.argument:keep or tool.argument:hash.`
    )
  }
  return { tool, argument, as: as === 'hash' ? 'hash' : 'value' }
}
