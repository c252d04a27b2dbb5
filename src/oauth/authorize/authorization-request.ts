import { InvalidRequestError, PayloadTooLargeError, UnsupportedResponseTypeError } from '../../errors.js'
import type { AuthorizationTransaction } from '../../stores/authorizations.js'
import { checkCodeChallenge } from '../pkce.js'
import type { Resources } from '../resources.js'
import { requestedScopes } from '../scopes.js'
import { parseLoginHints } from './login-hints.js'

/** Parameters of an authorization request (RFC 6749 4.1.1, 7636 4.3, 8707 2), each at most once. */
export type AuthorizationParameters = Readonly<Record<string, string | undefined>>

/** Bytes of `state`: it goes with the login, there and back. */
const MAX_STATE_BYTES = 4096
/** Characters of all parameters, as a query: what servers and proxies take for a URL. */
const MAX_REQUEST_CHARACTERS = 12_288

/**
 * Checks the size of a request, before anything else.
 * @throws {PayloadTooLargeError}
 */
export function checkRequestSize (parameters: AuthorizationParameters): void {
  const query = new URLSearchParams()
  for (const [name, value = ''] of Object.entries(parameters)) query.set(name, value)
  if (Buffer.byteLength(parameters.state ?? '') > MAX_STATE_BYTES) {
    throw new PayloadTooLargeError(`The state must be at most ${MAX_STATE_BYTES} bytes long.`)
  }
  if (query.toString().length > MAX_REQUEST_CHARACTERS) {
    throw new PayloadTooLargeError(
      `The authorization request must be at most ${MAX_REQUEST_CHARACTERS} characters long.`
    )
  }
}

/** What a client asks for. */
export type AuthorizationRequest = Pick<
  AuthorizationTransaction,
  'state' | 'codeChallenge' | 'resource' | 'scopes' | 'hints'
>

/**
 * Checks a request whose client and redirect URI have been verified.
 * @throws {OAuthError}
 */
export function checkRequest (
  parameters: AuthorizationParameters,
  resources: Resources
): AuthorizationRequest {
  const { state, response_type: responseType, response_mode: responseMode } = parameters
  if (responseType === undefined) throw new InvalidRequestError('The response_type is missing.')
  if (responseType !== 'code') throw new UnsupportedResponseTypeError('The response_type must be code.')
  if (![undefined, 'query'].includes(responseMode)) throw new InvalidRequestError('The response_mode must be query.')
  if (parameters.request !== undefined || parameters.request_uri !== undefined) {
    throw new InvalidRequestError('Request objects are not supported.')
  }
  const hints = parseLoginHints(parameters)
  const { resource, server } = resources.resolve(parameters.resource)
  return {
    ...Object.keys(hints).length > 0 && { hints },
    ...state !== undefined && { state },
    codeChallenge: checkCodeChallenge(parameters.code_challenge, parameters.code_challenge_method),
    resource,
    scopes: requestedScopes(parameters.scope, server.scopes)
  }
}
