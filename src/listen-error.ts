import { oneLine } from './displayed-text.js'
import { ConfigError } from './errors.js'

const REASONS: Readonly<Record<string, string>> = {
  EADDRINUSE: 'the port is in use',
  EACCES: 'this user may not listen on that port',
  EADDRNOTAVAIL: 'this machine does not have that address',
  EAFNOSUPPORT: 'this machine does not have addresses of that kind',
  ENOTFOUND: 'there is no such host',
  EAI_AGAIN: 'the name of the host could not be resolved'
}

const LISTENING: ReadonlySet<unknown> = new Set(['listen', 'bind', 'getaddrinfo'])

/**
 * Why the service cannot listen there, in one line for the operator.
 * @param subject what was to listen
 * @param where the variables that say where, with their values
 * @returns the error itself if it says something else
 */
export function listenError (subject: string, where: string, error: unknown): unknown {
  const code = error instanceof Error && 'code' in error ? String(error.code) : ''
  const reason = REASONS[code]
  // anything else that the operating system has against the host or the port
  const isTheirs = error instanceof Error && 'syscall' in error && LISTENING.has(error.syscall)
  const other = isTheirs ? oneLine(error.message) : ''
  return reason === undefined && other === ''
    ? error
    : new ConfigError(`${subject} cannot listen with ${where}: ${reason ?? other} (${code}).`, { cause: error })
}
