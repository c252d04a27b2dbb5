import { Type, type Static } from '@sinclair/typebox'
import type { JWK } from 'jose'

const text = (maxLength: number) => Type.String({ maxLength, pattern: '^[^\\u0000-\\u001f\\u007f]*$' })
const names = Type.Array(text(100), { maxItems: 20 })

/** Client metadata that we take (RFC 7591 2); what else a client sends is not kept. */
export const ClientMetadataSchema = Type.Object({
  redirect_uris: Type.Array(Type.String(), { minItems: 1, maxItems: 20 }),
  client_name: Type.Optional(text(200)),
  client_uri: Type.Optional(text(2048)),
  logo_uri: Type.Optional(text(2048)),
  tos_uri: Type.Optional(text(2048)),
  policy_uri: Type.Optional(text(2048)),
  contacts: Type.Optional(names),
  scope: Type.Optional(text(2000)),
  grant_types: Type.Optional(names),
  response_types: Type.Optional(names),
  token_endpoint_auth_method: Type.Optional(text(100)),
  token_endpoint_auth_methods_supported: Type.Optional(names),
  token_endpoint_auth_signing_alg: Type.Optional(text(100)),
  jwks_uri: Type.Optional(text(2048)),
  jwks: Type.Optional(Type.Object({ keys: Type.Array(Type.Unknown()) })),
  application_type: Type.Optional(Type.Union([Type.Literal('web'), Type.Literal('native')])),
  software_id: Type.Optional(text(200)),
  software_version: Type.Optional(text(200))
})

export const TOKEN_ENDPOINT_AUTH_METHODS = [
  'none',
  'client_secret_basic',
  'client_secret_post',
  'private_key_jwt'
] as const
/** How a client may sign its assertions (RFC 7523): asymmetric algorithms only. */
export const ASSERTION_ALGORITHMS = ['RS256', 'ES256', 'PS256', 'EdDSA'] as const
export const GRANT_TYPES = ['authorization_code', 'refresh_token'] as const
export type TokenEndpointAuthMethod = typeof TOKEN_ENDPOINT_AUTH_METHODS[number]

export type AssertionAlgorithm = typeof ASSERTION_ALGORITHMS[number]

/** The name under which we know a signature algorithm: RFC 9864 calls EdDSA with this curve Ed25519. */
export function toAssertionAlgorithm (alg: string | undefined): AssertionAlgorithm | undefined {
  return ASSERTION_ALGORITHMS.find(name => name === (alg === 'Ed25519' ? 'EdDSA' : alg))
}

/** How a client authenticates, as registered. */
export type ClientAuthMetadata = {
  token_endpoint_auth_method: TokenEndpointAuthMethod
  /** All ways that it may choose from, if there are several: `none` and `private_key_jwt`. */
  token_endpoint_auth_methods_supported?: TokenEndpointAuthMethod[]
  /** The only algorithm of its assertions. */
  token_endpoint_auth_signing_alg?: AssertionAlgorithm
  /** Its public keys, or their URL: one of the two if it may use `private_key_jwt`. */
  jwks?: { keys: JWK[] }
  jwks_uri?: string
}

/** Client metadata as registered. */
export type ClientMetadata = ClientAuthMetadata &
  Omit<Static<typeof ClientMetadataSchema>, keyof ClientAuthMetadata> & {
    grant_types: string[]
    response_types: string[]
  }

/** A client, however it came to us. */
export interface Client {
  clientId: string
  /** `document`: its client id is the URL of its metadata, and the URL's host vouches for it. */
  kind: 'registered' | 'preregistered' | 'document'
  metadata: ClientMetadata
  /** SHA-256 of its secret; absent for public clients. */
  secretHash?: string
  /** Part of this service: people are not asked for consent. */
  trusted?: boolean
  /** What its metadata contained that was not taken, and why; absent if that was taken as it came. */
  dropped?: readonly string[]
  /** Epoch seconds: when a registration ends, unless it is used. */
  expiresAt?: number
}

/**
 * A client that needs no registration (RFC 7591). Pass a list of them as `clients` of `mcpService`.
 * @example
 * ```ts
 * import type { PreregisteredClient } from 'fastify-mcp-oauth'
 *
 * export const clients: PreregisteredClient[] = [
 *   { clientId: 'web', clientName: 'Our website', redirectUris: ['https://example.com/callback'], trusted: true },
 *   { clientId: 'cli', clientName: 'Our command line', redirectUris: ['http://127.0.0.1/callback'] }
 * ]
 * ```
 */
export interface PreregisteredClient {
  /** What it calls itself at `/authorize` and `/token`. */
  clientId: string
  /** Absent: a public client, unless it has keys. */
  clientSecret?: string
  /** The public keys with which it signs its requests (`private_key_jwt`), as a JSON Web Key Set. */
  jwks?: { readonly keys: ReadonlyArray<Readonly<Record<string, unknown>>> }
  /** Where these keys are, instead: an https URL. */
  jwksUri?: string
  /** For the consent page. */
  clientName?: string
  /** Where it may be sent back to: exactly these. */
  redirectUris: readonly string[]
  /** It is part of this service: people are not asked whether they allow it. Default: false. */
  trusted?: boolean
}
