import type { CustomFetchOptions } from 'openid-client'
import { isLoopbackHost } from '../../../loopback.js'
import type { BackChannel } from '../../../outbound/back-channel.js'
import type { Fetch } from '../../upstream-observer.js'
import { unusable } from '../upstream-errors.js'
import { asItCame, fetchAnswer, findText } from './fetch-answer.js'

const ENDPOINTS = [
  'authorization_endpoint',
  'token_endpoint',
  'registration_endpoint',
  'revocation_endpoint',
  'userinfo_endpoint',
  'introspection_endpoint',
  'pushed_authorization_request_endpoint',
  'jwks_uri'
]
const LISTS = [
  'scopes_supported',
  'grant_types_supported',
  'response_types_supported',
  'code_challenge_methods_supported',
  'prompt_values_supported',
  'token_endpoint_auth_methods_supported',
  'token_endpoint_auth_signing_alg_values_supported',
  'id_token_signing_alg_values_supported',
  'userinfo_signing_alg_values_supported'
]
const FLAGS = ['authorization_response_iss_parameter_supported', 'require_pushed_authorization_requests']
// it goes into a Location header, with our parameters
const MAX_URL_LENGTH = 2048

/**
 * Fetches the metadata of an authorization server (RFC 8414 2), with the members that we read, and its URLs as browsers
 * have them.
 * @throws {UpstreamError} if the server calls itself by its internal URL
 */
export async function fetchMetadataAnswer (
  fetch: Fetch,
  url: string,
  init: CustomFetchOptions,
  backChannel: BackChannel
): Promise<Response> {
  const answer = await fetchAnswer(fetch, url, init)
  return answer.status === 200 && answer.members !== undefined
    ? Response.json(readMetadata(answer.members, backChannel))
    : asItCame(answer)
}

function readMetadata (members: ReadonlyMap<string, unknown>, backChannel: BackChannel): Record<string, unknown> {
  const issuer = findText(members, 'issuer')
  if (issuer !== undefined && backChannel.isInternal(issuer)) {
    throw unusable(
      `it calls itself ${issuer}, by the URL that this service asks it at, not ${backChannel.toPublic(issuer)}: its ` +
        'tokens would be good at one of the two only. Set its public URL there (Keycloak: KC_HOSTNAME)'
    )
  }
  const endpoints = ENDPOINTS.map(name => [name, backChannel.toPublic(findText(members, name) ?? '')] as const)
    .filter(([, url]) => isEndpoint(url))
  const lists = LISTS.map(name => [name, toTexts(members.get(name))] as const)
    .filter(([, texts]) => texts.length > 0)
  const flags = FLAGS.map(name => [name, members.get(name)] as const)
    .filter(([, flag]) => typeof flag === 'boolean')
  return { issuer: members.get('issuer'), ...Object.fromEntries([...endpoints, ...lists, ...flags]) }
}

function isEndpoint (text: string): boolean {
  if (text.length > MAX_URL_LENGTH || !URL.canParse(text)) return false
  const { protocol, hostname } = new URL(text)
  return protocol === 'https:' || (protocol === 'http:' && isLoopbackHost(hostname))
}

function toTexts (value: unknown): string[] {
  const members: unknown[] = Array.isArray(value) ? value : []
  return members.flatMap(member => typeof member === 'string' && member !== '' ? [member] : [])
}
