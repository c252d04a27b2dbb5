import { InvalidClientMetadataError } from '../../errors.js'
import type { ClientMetadata, PreregisteredClient } from '../client.js'
import { checkClientMetadata } from './client-metadata.js'

/**
 * The metadata of a client that the operator has named. It is checked as those that register are, but nothing is left
 * out: the operator can correct it.
 * @throws {InvalidRedirectUriError} @throws {InvalidClientMetadataError}
 */
export function checkPreregisteredClient (
  { clientSecret, clientName, redirectUris, jwks, jwksUri }: PreregisteredClient,
  schemes: readonly string[],
  allowLoopback: boolean
): ClientMetadata {
  const hasKeys = jwks !== undefined || jwksUri !== undefined
  if (hasKeys && clientSecret !== undefined) {
    throw new InvalidClientMetadataError('A client has a secret or keys, not both.')
  }
  const { metadata, dropped } = checkClientMetadata({
    redirect_uris: [...redirectUris],
    client_name: clientName,
    token_endpoint_auth_method: hasKeys
      ? 'private_key_jwt'
      : clientSecret === undefined ? 'none' : 'client_secret_basic',
    jwks,
    jwks_uri: jwksUri
  }, schemes, { isDocument: false, allowLoopback })
  if (dropped[0] !== undefined) throw new InvalidClientMetadataError(dropped[0])
  return metadata
}
