import type { Static } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { InvalidClientMetadataError, InvalidRedirectUriError } from '../../errors.js'
import { checkRedirectUri, hasPlainHost } from './redirect-uris.js'
import {
  ClientMetadataSchema,
  GRANT_TYPES,
  TOKEN_ENDPOINT_AUTH_METHODS,
  type ClientMetadata,
  type TokenEndpointAuthMethod
} from '../client.js'
import { isObject } from '../../members.js'

/**
 * Checks the metadata of a client.
 * @param schemes private-use schemes allowed in redirect URIs
 * @throws {InvalidRedirectUriError} @throws {InvalidClientMetadataError} (RFC 7591 3.2.2)
 */
export function checkClientMetadata (input: unknown, schemes: readonly string[]): ClientMetadata {
  if (!isObject(input)) {
    throw new InvalidClientMetadataError('The client metadata must be a JSON object.')
  }
  const given = parseMembers(input)
  for (const uri of given.redirect_uris) checkRedirectUri(uri, schemes)
  for (const member of ['client_uri', 'logo_uri', 'tos_uri', 'policy_uri'] as const) checkWebUri(member, given[member])

  const { grant_types: grantTypes = [...GRANT_TYPES], response_types: responseTypes = ['code'] } = given
  if (!grantTypes.includes('authorization_code')) {
    throw new InvalidClientMetadataError('grant_types must include authorization_code.')
  }
  if (!responseTypes.includes('code')) throw new InvalidClientMetadataError('response_types must include code.')
  const method = parseAuthMethod(given.token_endpoint_auth_method)
  return {
    ...given,
    // what we do not support is left out of the registration (RFC 7591 2); the response shows that to the client
    grant_types: grantTypes.filter(type => GRANT_TYPES.some(known => known === type)),
    response_types: ['code'],
    token_endpoint_auth_method: method
  }
}

/** The members that we know, each of the right type. */
function parseMembers (input: Record<string, unknown>): Static<typeof ClientMetadataSchema> {
  // some clients send null or an empty string for members that they do not have
  const given = Object.fromEntries(
    Object.entries(input).filter(([name, value]) =>
      Object.hasOwn(ClientMetadataSchema.properties, name) && value !== null && value !== ''
    )
  )
  if (Value.Check(ClientMetadataSchema, given)) return given
  const fault = Value.Errors(ClientMetadataSchema, given).First()
  const member = fault?.path.split('/')[1] ?? ''
  if (member === 'redirect_uris') throw new InvalidRedirectUriError('redirect_uris must contain 1 to 20 redirect URIs.')
  throw new InvalidClientMetadataError(`${member} is not valid: ${fault?.message ?? ''}.`)
}

/** Bytes of a registration, as JSON. */
const MAX_REGISTRATION_BYTES = 8192
const MAX_REGISTERED_REDIRECT_URIS = 10

/**
 * Checks that a registration is not larger than what we store for an unknown client.
 * @throws {InvalidRedirectUriError} @throws {InvalidClientMetadataError}
 */
export function checkRegistration (metadata: ClientMetadata): ClientMetadata {
  if (metadata.redirect_uris.length > MAX_REGISTERED_REDIRECT_URIS) {
    throw new InvalidRedirectUriError(`redirect_uris must contain 1 to ${MAX_REGISTERED_REDIRECT_URIS} redirect URIs.`)
  }
  if (Buffer.byteLength(JSON.stringify(metadata)) > MAX_REGISTRATION_BYTES) {
    throw new InvalidClientMetadataError(`The client metadata must be at most ${MAX_REGISTRATION_BYTES} bytes long.`)
  }
  return metadata
}

// RFC 7591 2: client_secret_basic is the default
function parseAuthMethod (method = 'client_secret_basic'): TokenEndpointAuthMethod {
  const known = TOKEN_ENDPOINT_AUTH_METHODS.find(name => name === method)
  if (known === undefined) {
    const methods = TOKEN_ENDPOINT_AUTH_METHODS.join(', ')
    throw new InvalidClientMetadataError(`token_endpoint_auth_method must be one of: ${methods}.`)
  }
  return known
}

function checkWebUri (member: string, value: string | undefined): void {
  if (value === undefined) return
  const url = URL.canParse(value) ? new URL(value) : undefined
  if (
    url === undefined || !/^https?:$/.test(url.protocol) || url.username !== '' || url.password !== '' ||
    !hasPlainHost(url)
  ) {
    throw new InvalidClientMetadataError(`${member} must be an http or https URL.`)
  }
}
