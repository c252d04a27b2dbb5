import { createPrivateKey, type KeyObject } from 'node:crypto'
import { importJWK } from 'jose'
import * as openid from 'openid-client'
import { BoundedMap } from '../../collections/bounded-map.js'
import { clientSecretBasic } from './client-secret-basic.js'
import type { UpstreamClient } from './registration.js'

/** How a client authenticates at the token endpoint (RFC 7591 2). */
export const CLIENT_AUTH_METHODS = ['client_secret_basic', 'client_secret_post', 'private_key_jwt', 'none'] as const

// more than one only if there are several services in a process
const MAX_CLIENT_KEYS = 16

type SecretMethod = 'client_secret_basic' | 'client_secret_post'

const ALGORITHMS: Readonly<Record<string, string>> = {
  rsa: 'RS256',
  'rsa-pss': 'PS256',
  prime256v1: 'ES256',
  secp384r1: 'ES384',
  secp521r1: 'ES512',
  ed25519: 'EdDSA'
}

/** How our client authenticates. */
export async function makeAuthentication (
  { clientSecret, authMethod, clientKey }: UpstreamClient,
  server: openid.ServerMetadata
): Promise<openid.ClientAuth> {
  if (authMethod === 'private_key_jwt' && clientKey !== undefined) return await signWith(clientKey, server)
  if (clientSecret === undefined || authMethod === 'none') return openid.None()
  return authenticateBy(authMethod === 'client_secret_basic' || authMethod === 'client_secret_post'
    ? authMethod
    : findSupported(server), clientSecret)
}

/**
 * The same request by the other of the two methods that take a secret; undefined if it was not made by either. The
 * metadata of some servers names a method that they do not take for this client.
 */
export function authenticateOtherwise (
  { clientId, clientSecret = '' }: UpstreamClient,
  { headers, body, ...init }: openid.CustomFetchOptions
): { init: openid.CustomFetchOptions, method: SecretMethod } | undefined {
  const form = new URLSearchParams(String(body))
  const byHeader = new Headers(headers).has('authorization')
  if (clientSecret === '' || (!byHeader && !form.has('client_secret'))) return undefined
  const method = byHeader ? 'client_secret_post' : 'client_secret_basic'
  const others = new Headers(headers)
  others.delete('authorization')
  for (const name of ['client_id', 'client_secret']) form.delete(name)
  authenticateBy(method, clientSecret)({ issuer: '' }, { client_id: clientId }, form, others)
  return { method, init: { ...init, body: form, headers: Object.fromEntries(others) } }
}

/** The private key of a PEM (PKCS 8) or of a JWK as JSON. @throws if it is neither */
export function parseClientKey (text: string): { key: KeyObject, algorithm: string, header: Record<string, string> } {
  const jwk: unknown = text.trimStart().startsWith('{') ? JSON.parse(text) : undefined
  const members = typeof jwk === 'object' && jwk !== null ? new Map<string, unknown>(Object.entries(jwk)) : undefined
  const key = members === undefined
    ? createPrivateKey(text.replaceAll('\\n', '\n'))
    : createPrivateKey({ key: Object.fromEntries(members), format: 'jwk' })
  const named = members?.get('alg')
  const algorithm = typeof named === 'string'
    ? named
    : ALGORITHMS[key.asymmetricKeyDetails?.namedCurve ?? key.asymmetricKeyType ?? '']
  if (algorithm === undefined) throw new Error('the key is of a kind that cannot sign')
  // Entra finds the certificate by its thumbprint
  const header = ['kid', 'x5t', 'x5t#S256'].flatMap(name => {
    const value = members?.get(name)
    return typeof value === 'string' ? [[name, value] as const] : []
  })
  return { key, algorithm, header: Object.fromEntries(header) }
}

async function importClientKey (text: string) {
  const { key, algorithm, header } = parseClientKey(text)
  const imported = await importJWK({ ...key.export({ format: 'jwk' }), alg: algorithm }, algorithm)
  if (imported instanceof Uint8Array) throw new Error('the key is not a private key')
  return { imported, header }
}

/** By their text: those of one configuration, parsed once. */
const importedKeys = new BoundedMap<string, ReturnType<typeof importClientKey>>(MAX_CLIENT_KEYS)

async function signWith (text: string, server: openid.ServerMetadata): Promise<openid.ClientAuth> {
  const importing = importedKeys.get(text) ?? importClientKey(text)
  importedKeys.set(text, importing)
  const { imported, header } = await importing
  return openid.PrivateKeyJwt(imported, {
    [openid.modifyAssertion]: (assertionHeader, payload) => {
      Object.assign(assertionHeader, header)
      // RFC 7523 3: many servers take the token endpoint only; there is one upstream, so no other can use it
      if (server.token_endpoint !== undefined) payload.aud = server.token_endpoint
    }
  })
}

function authenticateBy (method: SecretMethod, clientSecret: string): openid.ClientAuth {
  return method === 'client_secret_basic' ? clientSecretBasic(clientSecret) : openid.ClientSecretPost(clientSecret)
}

function findSupported (server: openid.ServerMetadata): SecretMethod {
  // RFC 8414 2: basic if the metadata does not say
  const { token_endpoint_auth_methods_supported: supported = ['client_secret_basic'] } = server
  return supported.includes('client_secret_basic') ? 'client_secret_basic' : 'client_secret_post'
}
