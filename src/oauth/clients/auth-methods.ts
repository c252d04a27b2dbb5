import { InvalidClientMetadataError } from '../../errors.js'
import {
  ASSERTION_ALGORITHMS,
  toAssertionAlgorithm,
  TOKEN_ENDPOINT_AUTH_METHODS,
  type ClientAuthMetadata,
  type TokenEndpointAuthMethod
} from '../client.js'
import { isMetadataDocumentUrl } from '../client-documents/document-url.js'
import { hasPrivateKey, parseUsableKeys } from './client-keys.js'

/** How a client says that it authenticates (RFC 7591 2, OpenID Connect RP Metadata Choices). */
export interface GivenAuthMethods {
  token_endpoint_auth_method?: string
  token_endpoint_auth_methods_supported?: readonly string[]
  token_endpoint_auth_signing_alg?: string
  jwks?: unknown
  jwks_uri?: string
}

export interface AuthMethodRules {
  /** The client's metadata is a document: nobody has given it a secret. */
  isDocument: boolean
  /** Outside production: the key set may be on loopback. */
  allowLoopback: boolean
}

/**
 * Decides how a client authenticates: as it prefers, or else by the first method that it lists and we know. With `none`
 * or `private_key_jwt` it may use the other, too, if it lists that.
 * @param drop called with what is not taken, and why
 * @throws {InvalidClientMetadataError} if there is no method that both know
 */
export function checkAuthMethods (
  given: GivenAuthMethods,
  { isDocument, allowLoopback }: AuthMethodRules,
  drop: (what: string) => void
): ClientAuthMetadata {
  const known = TOKEN_ENDPOINT_AUTH_METHODS.filter(method => !isDocument || !method.startsWith('client_secret'))
  const listed = given.token_endpoint_auth_methods_supported ?? []
  // RFC 7591 2: client_secret_basic is the default
  const fallback = isDocument ? 'none' : 'client_secret_basic'
  const preferred = given.token_endpoint_auth_method ??
    (listed.length === 0 || listed.includes(fallback) ? fallback : listed[0])
  const asked = [...preferred === undefined ? [] : [preferred], ...listed]
  const objection = asked.includes('private_key_jwt') ? findKeyObjection(given, allowLoopback) : undefined
  const usable = asked.flatMap(name => known.find(method => method === name) ?? [])
    .filter(method => method !== 'private_key_jwt' || objection === undefined)
  const [method] = usable
  if (method === undefined) {
    throw new InvalidClientMetadataError(
      objection ?? `token_endpoint_auth_method must be one of: ${known.join(', ')}.`
    )
  }
  if (objection !== undefined) drop(`private_key_jwt (${objection})`)
  else if (method !== preferred) drop(`token_endpoint_auth_method (${method} is used)`)
  return { token_endpoint_auth_method: method, ...toAssertionMembers(given, chooseMethods(method, usable)) }
}

/** The methods that a client may use. A secret that it was given is never optional. */
function chooseMethods (
  method: TokenEndpointAuthMethod,
  usable: readonly TokenEndpointAuthMethod[]
): TokenEndpointAuthMethod[] {
  if (method.startsWith('client_secret')) return [method]
  return TOKEN_ENDPOINT_AUTH_METHODS.filter(name =>
    (name === 'none' || name === 'private_key_jwt') && usable.includes(name)
  )
}

function toAssertionMembers (
  { token_endpoint_auth_signing_alg: alg, jwks, jwks_uri: uri }: GivenAuthMethods,
  methods: TokenEndpointAuthMethod[]
): Omit<ClientAuthMetadata, 'token_endpoint_auth_method'> {
  if (!methods.includes('private_key_jwt')) return {}
  const algorithm = toAssertionAlgorithm(alg)
  return {
    ...methods.length > 1 && { token_endpoint_auth_methods_supported: methods },
    ...algorithm !== undefined && { token_endpoint_auth_signing_alg: algorithm },
    ...uri === undefined ? { jwks: { keys: parseUsableKeys(jwks) } } : { jwks_uri: uri }
  }
}

/** Why the assertions of a client could never be verified. */
function findKeyObjection (
  { token_endpoint_auth_signing_alg: alg, jwks, jwks_uri: uri }: GivenAuthMethods,
  allowLoopback: boolean
): string | undefined {
  if (alg !== undefined && toAssertionAlgorithm(alg) === undefined) {
    return `token_endpoint_auth_signing_alg must be one of: ${ASSERTION_ALGORITHMS.join(', ')}.`
  }
  if (jwks !== undefined && uri !== undefined) return 'Only one of jwks and jwks_uri may be given (RFC 7591 2).'
  if (uri !== undefined) {
    return isMetadataDocumentUrl(uri, allowLoopback) ? undefined : 'jwks_uri must be an https URL with a path.'
  }
  if (jwks === undefined) return 'private_key_jwt needs the public keys of the client: jwks_uri or jwks.'
  if (hasPrivateKey(jwks)) return 'jwks must contain public keys only. Its private keys are no longer secret.'
  return parseUsableKeys(jwks).length > 0
    ? undefined
    : `jwks must contain a public key for one of: ${ASSERTION_ALGORITHMS.join(', ')} (RSA: 2048 bits or more).`
}
