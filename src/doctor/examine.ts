import type { UpstreamSettings } from '../oauth/upstream-settings.js'
import { proxiedFetch } from '../outbound/proxied-fetch.js'
import { Proxy, type ProxyOptions } from '../outbound/proxy.js'
import type { ResourceServerOptions } from '../oauth/resource-server/resource-server.js'
import { examineAudience } from './audience.js'
import { examineBrowsers } from './browsers.js'
import { examineChallenge } from './challenge.js'
import { examineClientDocuments } from './client-documents.js'
import { examineDiscovery, type Discovered } from './discovery.js'
import type { Findings } from './findings.js'
import { logInAt, type OpenInBrowser } from './login.js'
import { examineReadiness } from './readiness.js'
import { examineRegistration } from './registration.js'
import { examineSession } from './session.js'
import { examineUpstream } from './upstream.js'
import { toReason } from './http-probe.js'

export interface DeploymentOptions {
  /** The MCP endpoint, as clients have it. */
  mcpUrl: URL
  /** Further browser origins from which clients call. */
  origins: readonly string[]
  /** How long a stream is watched; longer than the proxies' idle timeouts shows whether they cut it. */
  streamSeconds: number
  /** A token to call with. Without it and without `open`, sessions and streams are not looked at. */
  accessToken?: string
  /** Asks the user to log in. */
  open?: OpenInBrowser
}

/** What the service was configured with, for a look from where it stands. */
export interface InsideOptions {
  publicUrl: string
  upstream: UpstreamSettings
  /** The proxy to the internet. */
  proxy?: ProxyOptions | undefined
  /** In the mode resource-server. */
  resourceServer?: ResourceServerOptions
}

/** Looks at a deployment from outside, as clients do. */
export async function examineDeployment (options: DeploymentOptions, findings: Findings): Promise<void> {
  const { mcpUrl, origins, streamSeconds, accessToken, open } = options
  const metadataUrl = await examineChallenge(mcpUrl, findings)
  if (metadataUrl === undefined) return
  await examineReadiness(mcpUrl, findings)
  const discovered = await examineDiscovery(mcpUrl, metadataUrl, findings)
  if (discovered === undefined) return
  const { metadata } = discovered
  const endpoints = [metadata.token_endpoint, metadata.registration_endpoint].filter(url => typeof url === 'string')
    .filter(url => URL.canParse(url)).map(url => new URL(url))
  for (const origin of new Set([mcpUrl.origin, ...origins])) {
    await examineBrowsers(mcpUrl, origin, { documents: discovered.documents, endpoints }, findings)
  }
  await examineRegistration(metadata, mcpUrl, findings)
  await examineClientDocuments(metadata, mcpUrl, findings)
  const token = accessToken ?? (open && await logIn(discovered, mcpUrl, open, findings))
  if (token !== undefined) await examineSession(mcpUrl, { accessToken: token, streamSeconds }, findings)
  else if (open === undefined) {
    findings.warn(
      'session',
      'sessions and streams were not looked at: that takes a token',
      'Run with --login, or give a token in DOCTOR_TOKEN.'
    )
  }
}

/** Looks at the upstream from where the service stands. */
export async function examineInside (
  { publicUrl, upstream, proxy: given, resourceServer }: InsideOptions,
  { accessToken, open }: DeploymentOptions,
  findings: Findings
): Promise<void> {
  const proxy = given && new Proxy(given)
  const settings = { ...proxy && { fetch: proxiedFetch(proxy) }, ...upstream }
  if (resourceServer === undefined) await examineUpstream(settings, { publicUrl, proxy }, findings, open)
  else if (accessToken !== undefined) await examineAudience(accessToken, resourceServer, findings)
  else {
    findings.warn(
      'upstream-audience',
      'whether tokens are for this service was not looked at: that takes one',
      'Give a token of the upstream in DOCTOR_TOKEN.'
    )
  }
}

async function logIn (
  { issuer }: Discovered,
  mcpUrl: URL,
  open: OpenInBrowser,
  findings: Findings
): Promise<string | undefined> {
  try {
    const { accessToken, refreshToken } = await logInAt({
      issuerUrl: new URL(issuer),
      scopes: [],
      extraAuthorizeParams: { resource: mcpUrl.href }
    }, open)
    if (refreshToken === undefined) {
      findings.warn(
        'login',
        'a login works, but gives no refresh token',
        'People log in again whenever the access token ends.'
      )
    } else findings.ok('login', 'a login works')
    return accessToken
  } catch (error) {
    findings.fail('login', `a login failed: ${toReason(error)}`, 'The log of the service says why.')
    return undefined
  }
}
