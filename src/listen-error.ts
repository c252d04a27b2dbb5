import { ConfigError } from './errors.js'

const REASONS: Readonly<Record<string, string>> = {
  EADDRINUSE: 'the port is in use',
  EACCES: 'this user may not listen on that port',
  EADDRNOTAVAIL: 'this machine does not have that address',
  EAFNOSUPPORT: 'this machine does not have addresses of that kind',
  ENOTFOUND: 'there is no such host',
  EAI_AGAIN: 'the name of the host could not be resolved'
}

/**
 * Why the service cannot listen there, in one line for the operator.
 * @param subject what was to listen
 * @param where the variables that say where, with their values
 * @returns the error itself if it says something else
 */
export function listenError (subject: string, where: string, error: unknown): unknown {
  const code = error instanceof Error && 'code' in error ? String(error.code) : ''
  const reason = REASONS[code]
  return reason === undefined
    ? error
    : new ConfigError(`${subject} cannot listen with ${where}: ${reason} (${code}).`, { cause: error })
}
