import { Type, type Static, type TObject, type TSchema } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { InvalidClientMetadataError, InvalidRedirectUriError } from '../../errors.js'
import { checkRedirectUri, hasPlainHost } from './redirect-uris.js'
import { ClientMetadataSchema, GRANT_TYPES, type ClientMetadata } from '../client.js'
import { isObject } from '../../members.js'
import { checkAuthMethods, type AuthMethodRules } from './auth-methods.js'

const AUTH_MEMBERS = [
  'token_endpoint_auth_method',
  'token_endpoint_auth_methods_supported',
  'token_endpoint_auth_signing_alg',
  'jwks',
  'jwks_uri'
] as const
const AuthSchema = Type.Pick(ClientMetadataSchema, AUTH_MEMBERS)
const OtherSchema = Type.Omit(ClientMetadataSchema, ['redirect_uris', ...AUTH_MEMBERS])

/** Client metadata, as far as they were usable. */
export interface CheckedMetadata {
  metadata: ClientMetadata
  /** What was not taken, and why. */
  dropped: string[]
}

/** Members that a client can do without: it is not refused because of them. */
const OPTIONAL = new Set([
  'client_uri',
  'logo_uri',
  'tos_uri',
  'policy_uri',
  'contacts',
  'scope',
  'token_endpoint_auth_methods_supported',
  'token_endpoint_auth_signing_alg',
  'jwks',
  'jwks_uri',
  'application_type',
  'software_id',
  'software_version'
])
const WEB_URIS = ['client_uri', 'logo_uri', 'tos_uri', 'policy_uri'] as const

/**
 * Takes what is usable of a client's metadata.
 * @param schemes private-use schemes allowed in redirect URIs
 * @throws {InvalidRedirectUriError} if no redirect URI is usable
 * @throws {InvalidClientMetadataError} if a member that we rely on is wrong (RFC 7591 3.2.2)
 */
export function checkClientMetadata (
  input: unknown,
  schemes: readonly string[],
  rules: AuthMethodRules = { isDocument: false, allowLoopback: false }
): CheckedMetadata {
  if (!isObject(input)) {
    throw new InvalidClientMetadataError('The client metadata must be a JSON object.')
  }
  const dropped: string[] = []
  const drop = (what: string) => { dropped.push(what) }
  const redirectUris = takeRedirectUris(input.redirect_uris, schemes, drop)
  const given = takeMembers(OtherSchema, input, drop)
  const { grant_types: grantTypes = [...GRANT_TYPES], response_types: responseTypes = ['code'] } = given
  if (!grantTypes.includes('authorization_code')) {
    throw new InvalidClientMetadataError('grant_types must include authorization_code.')
  }
  if (!responseTypes.includes('code')) throw new InvalidClientMetadataError('response_types must include code.')
  const metadata = {
    redirect_uris: redirectUris,
    ...given,
    // what we do not support is left out of the registration (RFC 7591 2); the response shows that to the client
    grant_types: grantTypes.filter(type => GRANT_TYPES.some(known => known === type)),
    response_types: ['code'],
    ...checkAuthMethods(takeMembers(AuthSchema, input, drop), rules, drop)
  }
  return { metadata, dropped }
}

const MAX_REDIRECT_URIS = 20

/** The redirect URIs that may be used. */
function takeRedirectUris (given: unknown, schemes: readonly string[], drop: (what: string) => void): string[] {
  if (!Array.isArray(given) || given.length === 0 || given.length > MAX_REDIRECT_URIS) {
    throw new InvalidRedirectUriError(`redirect_uris must contain 1 to ${MAX_REDIRECT_URIS} redirect URIs.`)
  }
  const usable: string[] = []
  let refusal: unknown
  for (const uri of given) {
    try {
      if (typeof uri !== 'string') throw new InvalidRedirectUriError('A redirect URI must be a string.')
      checkRedirectUri(uri, schemes)
      usable.push(uri)
    } catch (error) {
      if (!(error instanceof InvalidRedirectUriError)) throw error
      refusal ??= error
      drop(error.message)
    }
  }
  if (usable.length === 0) throw refusal
  return usable
}

/** The members that we know, each of the right type. */
function takeMembers<Members extends TObject> (
  schema: Members,
  input: Record<string, unknown>,
  drop: (what: string) => void
): Static<Members> {
  const taken: Record<string, unknown> = {}
  for (const [name, member] of Object.entries(schema.properties)) {
    const value = Object.hasOwn(input, name) ? toUsualForm(name, input[name]) : undefined
    // some clients send null or an empty string for members that they do not have
    if (value === undefined || value === null || value === '') continue
    const objection = findObjection(name, member, value)
    if (objection === undefined) taken[name] = value
    else if (OPTIONAL.has(name)) drop(`${name} (${objection})`)
    else throw new InvalidClientMetadataError(`${name} is not valid: ${objection}.`)
  }
  if (Value.Check(schema, taken)) return taken
  throw new InvalidClientMetadataError('The client metadata are not valid.')
}

function findObjection (name: string, schema: TSchema, value: unknown): string | undefined {
  if (!Value.Check(schema, value)) return Value.Errors(schema, value).First()?.message ?? 'it has another type'
  return WEB_URIS.some(member => member === name) && !isWebUri(value) ? 'it must be an http or https URL' : undefined
}

/** Takes lists for text, and text for lists, if RFC 7591 wants it the other way round; an empty list says nothing. */
function toUsualForm (name: string, value: unknown): unknown {
  if (name === 'scope' && Array.isArray(value) && value.every(scope => typeof scope === 'string')) {
    return value.join(' ')
  }
  if (name !== 'grant_types' && name !== 'response_types') return value
  const types: unknown = typeof value === 'string' ? value.split(/\s+/) : value
  if (!Array.isArray(types)) return value
  // we look for the few that we know
  const known = types.filter(type => typeof type === 'string' && type !== '' && type.length <= MAX_TYPE)
  return types.length === 0 ? undefined : known.slice(0, MAX_TYPES)
}

const MAX_TYPE = 100
const MAX_TYPES = 20

function isWebUri (value: unknown): boolean {
  const url = typeof value === 'string' && URL.canParse(value) ? new URL(value) : undefined
  return url !== undefined && /^https?:$/.test(url.protocol) && url.username === '' && url.password === '' &&
    hasPlainHost(url)
}

/** Bytes of a registration, as JSON. */
const MAX_REGISTRATION_BYTES = 8192
const MAX_REGISTERED_REDIRECT_URIS = 10

/**
 * Checks that a registration is not larger than what we store for an unknown client.
 * @throws {InvalidRedirectUriError} @throws {InvalidClientMetadataError}
 */
export function checkRegistration (metadata: ClientMetadata): void {
  if (metadata.redirect_uris.length > MAX_REGISTERED_REDIRECT_URIS) {
    throw new InvalidRedirectUriError(`redirect_uris must contain 1 to ${MAX_REGISTERED_REDIRECT_URIS} redirect URIs.`)
  }
  if (Buffer.byteLength(JSON.stringify(metadata)) > MAX_REGISTRATION_BYTES) {
    throw new InvalidClientMetadataError(`The client metadata must be at most ${MAX_REGISTRATION_BYTES} bytes long.`)
  }
}
