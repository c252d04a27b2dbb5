import { adviseOnOutage } from './advice.js'
import { toMessage, parseObject, send } from './http-probe.js'
import type { Findings } from './findings.js'

/** Where clients find out how to log in. */
export interface Discovered {
  issuer: string
  metadata: Record<string, unknown>
  /** Every document that was found, for browsers to fetch. */
  documents: URL[]
}

/**
 * Fetches the metadata from every place where clients look (RFC 9728 3.1, RFC 8414 3.1, OpenID Connect Discovery 4),
 * and compares each document with the URL that it came from.
 */
export async function examineDiscovery (
  mcpUrl: URL,
  metadataUrl: URL,
  findings: Findings
): Promise<Discovered | undefined> {
  const documents: URL[] = []
  const ofOrigin = `${mcpUrl.origin}/.well-known/oauth-protected-resource`
  const resourcePlaces = new Set([metadataUrl.href, ofOrigin + mcpUrl.pathname, ofOrigin])
  // it may be one of several servers: then the origin is none of them
  const isOnlyServer = /^\/[^/]*\/?$/.test(mcpUrl.pathname)
  let issuer: string | undefined
  for (const place of resourcePlaces) {
    const isNeeded = isOnlyServer || place !== ofOrigin
    const document = await fetchDocument(new URL(place), 'resource-metadata', isNeeded ? findings : undefined)
    if (document === undefined) continue
    documents.push(new URL(place))
    const { resource, authorization_servers: servers } = document
    if (!covers(resource, mcpUrl)) {
      findings.fail(
        'resource-metadata',
        `${place} is of the resource ${String(resource)}, but clients come to ${mcpUrl.href}, and refuse another`,
        `Set PUBLIC_URL=${mcpUrl.origin}.`
      )
    }
    if (Array.isArray(servers) && typeof servers[0] === 'string') issuer ??= servers[0]
  }
  findings.okUnlessFound('resource-metadata', `found at ${resourcePlaces.size} places`)
  if (issuer === undefined || !URL.canParse(issuer)) {
    findings.fail(
      'authorization-server',
      'no protected resource metadata names an authorization server',
      'Look at what answers under /.well-known/: a proxy or another app may.'
    )
    return undefined
  }
  const metadata = await examineIssuer(new URL(issuer), issuer, mcpUrl, documents, findings)
  return metadata && { issuer, metadata, documents }
}

/** Whether clients take a resource for that of an endpoint: the endpoint itself, or a URL that its own is under. */
function covers (resource: unknown, { origin, pathname }: URL): boolean {
  if (typeof resource !== 'string' || !URL.canParse(resource)) return false
  const named = new URL(resource)
  return named.origin === origin && `${pathname}/`.startsWith(`${named.pathname.replace(/\/$/, '')}/`)
}

async function examineIssuer (
  issuerUrl: URL,
  issuer: string,
  mcpUrl: URL,
  documents: URL[],
  findings: Findings
): Promise<Record<string, unknown> | undefined> {
  const path = issuerUrl.pathname.replace(/\/$/, '')
  const places = new Set([
    `${issuerUrl.origin}/.well-known/oauth-authorization-server${path}`,
    `${issuerUrl.origin}/.well-known/openid-configuration${path}`,
    `${issuerUrl.origin}${path}/.well-known/openid-configuration`
  ])
  // where the authorization server is ours, it answers wherever clients look; of another one, one place is enough
  const ours = issuerUrl.origin === mcpUrl.origin
  if (ours && path === '') places.add(`${mcpUrl.origin}/.well-known/oauth-authorization-server${mcpUrl.pathname}`)
  let metadata: Record<string, unknown> | undefined
  for (const place of places) {
    const document = await fetchDocument(new URL(place), 'authorization-server', ours ? findings : undefined)
    if (document === undefined) continue
    documents.push(new URL(place))
    metadata ??= document
    if (document.issuer !== issuer) {
      findings.fail(
        'issuer',
        `${place} says that its issuer is ${
          String(document.issuer)
        }, but the protected resource metadata names ${issuer}: clients refuse that (RFC 8414 3.3)`,
        'Set PUBLIC_URL to the origin that clients come to, on every replica the same.'
      )
    }
  }
  if (metadata === undefined) {
    findings.fail(
      'authorization-server',
      `the authorization server ${issuer} describes itself at none of: ${[...places].join(', ')}`,
      'Let /.well-known/ through to the service.'
    )
    return undefined
  }
  findings.okUnlessFound('authorization-server', `${issuer} describes itself at ${places.size} places`)
  findings.okUnlessFound('issuer', `${issuer}, as named`)
  examineMetadata(metadata, findings)
  return metadata
}

function examineMetadata (metadata: Record<string, unknown>, findings: Findings): void {
  for (const name of ['authorization_endpoint', 'token_endpoint']) {
    if (typeof metadata[name] !== 'string') {
      findings.fail('authorization-server', `its metadata names no ${name}`, 'Clients cannot log in without it.')
    }
  }
  const methods = metadata.code_challenge_methods_supported
  if (!Array.isArray(methods) || !methods.includes('S256')) {
    findings.fail(
      'pkce',
      'the authorization server does not say that it takes PKCE with S256, so clients refuse it (MCP Authorization)',
      'Use an authorization server with PKCE, or the broker mode of this service.'
    )
  }
  if (typeof metadata.registration_endpoint !== 'string' && metadata.client_id_metadata_document_supported !== true) {
    findings.fail(
      'registration',
      'clients can neither register (RFC 7591) nor bring a client ID metadata document',
      'Use the broker mode of this service, or give every client an id by hand.'
    )
  }
}

async function fetchDocument (
  url: URL,
  check: string,
  findings: Findings | undefined
): Promise<Record<string, unknown> | undefined> {
  try {
    const { status, body } = await send(url)
    const document = status === 200 ? parseObject(body) : undefined
    if (document === undefined) {
      findings?.fail(
        check,
        `${url.href} answers ${status}${status === 200 ? ' without a JSON object' : ''}`,
        adviseOnOutage(status) ?? 'Let /.well-known/ through to the service, with its path as it is.'
      )
    }
    return document
  } catch (error) {
    findings?.fail(check, `${url.href} cannot be fetched: ${toMessage(error)}`, 'Clients must reach it.')
    return undefined
  }
}
