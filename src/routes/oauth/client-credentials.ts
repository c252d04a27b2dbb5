import type { FastifyRequest } from 'fastify'
import { InvalidClientError, InvalidRequestError } from '../../errors.js'
import { claimedClientId } from '../../oauth/clients/client-assertions.js'
import type { ClientCredentials } from '../../oauth/clients/client-authentication.js'

type FormParameters = Readonly<Record<string, string | undefined>>

/**
 * How the client of a request identifies itself: by HTTP Basic, in the body, or by an assertion (RFC 6749 2.3,
 * RFC 7523 2.2). Basic and body must agree; who authenticates in several ways is refused later.
 * @throws {InvalidRequestError} @throws {InvalidClientError}
 */
export function clientCredentials (request: FastifyRequest, parameters: FormParameters): ClientCredentials {
  const { client_assertion: jwt, client_assertion_type: type } = parameters
  if (jwt === undefined && type === undefined) return plainCredentials(request, parameters)
  // without a client_id, the assertion names the client (RFC 7521 4.2)
  const clientId = parameters.client_id ?? (jwt === undefined ? undefined : claimedClientId(jwt))
  const plain = plainCredentials(request, { ...parameters, client_id: clientId })
  return { ...plain, assertion: { type, jwt } }
}

function plainCredentials (request: FastifyRequest, parameters: FormParameters): ClientCredentials {
  const { client_id: clientId, client_secret: clientSecret } = parameters
  const basic = basicCredentials(request.headers.authorization)
  if (basic === undefined) {
    if (clientId === undefined) throw new InvalidClientError('The client_id is missing.')
    return { clientId, clientSecret, method: clientSecret === undefined ? 'none' : 'client_secret_post' }
  }
  if (clientSecret !== undefined) {
    throw new InvalidRequestError('The client authenticates both by HTTP Basic and in the body; use one of them.')
  }
  if (clientId !== undefined && clientId !== basic.clientId) {
    throw new InvalidRequestError('The client_id differs from the one in the Authorization header.')
  }
  return basic
}

function basicCredentials (authorization: string | undefined): ClientCredentials | undefined {
  if (authorization === undefined) return undefined
  const [, encoded] = /^basic +([A-Za-z0-9+/]+=*) *$/i.exec(authorization) ?? []
  const [, id, secret] = /^([^:]*):(.*)$/s.exec(Buffer.from(encoded ?? '', 'base64').toString('utf8')) ?? []
  if (id === undefined || secret === undefined) {
    throw new InvalidClientError('The Authorization header has no valid client credentials (HTTP Basic).')
  }
  return { clientId: formDecoded(id), clientSecret: formDecoded(secret), method: 'client_secret_basic' }
}

// RFC 6749 2.3.1: both are form-encoded first; not every client does so, and the ones we issue need no encoding
function formDecoded (value: string): string {
  try {
    return decodeURIComponent(value.replaceAll('+', ' '))
  } catch {
    return value
  }
}
