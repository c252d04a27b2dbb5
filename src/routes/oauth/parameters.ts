import { InvalidRequestError } from '../../errors.js'
import { isObject } from '../../members.js'

/**
 * The parameters of a query or form. One without a value counts as absent, and none may be repeated (RFC 6749 3.1,
 * 3.2).
 * @throws {InvalidRequestError}
 */
export function parseParameters (source: unknown): Readonly<Record<string, string | undefined>> {
  if (!isObject(source)) {
    throw new InvalidRequestError('The parameters are missing.')
  }
  const parameters = new Map<string, string>()
  for (const [name, value] of Object.entries(source)) {
    if (typeof value !== 'string') throw new InvalidRequestError('A parameter is repeated.')
    if (value !== '') parameters.set(name, value)
  }
  return Object.fromEntries(parameters)
}
