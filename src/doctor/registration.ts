import { createHash, randomBytes } from 'node:crypto'
import { LOOPBACK_ADDRESS } from '../loopback.js'
import { adviseOnOutage } from './advice.js'
import { toMessage, parseObject, send, type Reply } from './http-probe.js'
import type { Findings } from './findings.js'

const REDIRECT_URI = `http://${LOOPBACK_ADDRESS}/callback`

/** Registers as clients do (RFC 7591 3), and opens the page where people begin to log in. */
export async function examineRegistration (
  metadata: Record<string, unknown>,
  mcpUrl: URL,
  findings: Findings
): Promise<void> {
  const { registration_endpoint: registration, authorization_endpoint: authorization } = metadata
  if (
    typeof registration !== 'string' || typeof authorization !== 'string' || !URL.canParse(registration) ||
    !URL.canParse(authorization)
  ) return
  try {
    const { status, body } = await send(new URL(registration), {
      method: 'POST',
      body: {
        client_name: 'fastify-mcp-oauth doctor',
        redirect_uris: [REDIRECT_URI],
        grant_types: ['authorization_code', 'refresh_token'],
        response_types: ['code'],
        token_endpoint_auth_method: 'none'
      }
    })
    const clientId = parseObject(body)?.client_id
    if (status === 401) {
      findings.warn(
        'registration',
        `clients can register only with an initial access token: ${saidBy(body)}`,
        'That is so with DYNAMIC_REGISTRATION=token: give each client one of INITIAL_ACCESS_TOKENS. Clients that ' +
          'cannot send one need a metadata document (CLIENT_METADATA_DOCUMENTS), or an entry in PREREGISTERED_CLIENTS.'
      )
      return
    }
    if (typeof clientId !== 'string') {
      findings.fail(
        'registration',
        `registering a client was answered ${status}: ${saidBy(body)}`,
        adviseOnOutage(status) ??
          'Allow registration at the authorization server, or use the broker mode of this service, which registers ' +
            'clients itself.'
      )
      return
    }
    findings.ok('registration', 'clients can register')
    await examineAuthorize(new URL(authorization), clientId, mcpUrl, findings)
  } catch (error) {
    findings.fail(
      'registration',
      `registering a client failed: ${toMessage(error)}`,
      'Clients must reach the registration endpoint.'
    )
  }
}

/** Opens the page where a person begins to log in to a client. */
export async function openAuthorize (
  endpoint: URL,
  { clientId, redirectUri }: { clientId: string, redirectUri: string },
  mcpUrl: URL
): Promise<Reply> {
  const url = new URL(endpoint)
  const parameters = {
    response_type: 'code',
    client_id: clientId,
    redirect_uri: redirectUri,
    state: randomBytes(8).toString('hex'),
    code_challenge: createHash('sha256').update(randomBytes(32)).digest('base64url'),
    code_challenge_method: 'S256',
    resource: mcpUrl.href
  }
  for (const [name, value] of Object.entries(parameters)) url.searchParams.set(name, value)
  return await send(url, { headers: { accept: 'text/html' } })
}

async function examineAuthorize (endpoint: URL, clientId: string, mcpUrl: URL, findings: Findings): Promise<void> {
  const client = { clientId, redirectUri: REDIRECT_URI }
  const { status, headers: { location }, body } = await openAuthorize(endpoint, client, mcpUrl)
  const error = location !== undefined && URL.canParse(location) ? new URL(location).searchParams.get('error') : null
  if (status >= 400) {
    findings.fail(
      'authorize',
      `the page where people begin to log in is answered ${status}: ${saidBy(body)}`,
      adviseOnOutage(status) ?? 'The log of the service says why, under the id that the page shows.'
    )
  } else if (error !== null) {
    findings.fail(
      'authorize',
      `logging in is refused: ${error} ${new URL(location ?? '').searchParams.get('error_description') ?? ''}`,
      'The log of the service says why.'
    )
  } else findings.ok('authorize', 'people can begin to log in')
}

/** What an answer says, in few words: an OAuth error, or the text of a page. */
export function saidBy (body: string): string {
  const { error, error_description: description } = parseObject(body) ?? {}
  if (typeof error === 'string') return typeof description === 'string' ? `${error}: ${description}` : error
  const text = body.replace(/<style.*?<\/style>/gs, ' ').replace(/<[^>]*>/g, ' ').replace(/\s+/g, ' ').trim()
  return text === '' ? 'nothing' : `"${text.slice(0, 200)}"`
}
