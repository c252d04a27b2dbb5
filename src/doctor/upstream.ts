import type { ServerMetadata } from 'openid-client'
import { discover } from '../oauth/upstream/discovery.js'
import { makeBackChannel, type UpstreamSettings } from '../oauth/upstream-settings.js'
import type { UpstreamClient } from '../oauth/upstream/registration.js'
import { TemporarilyUnavailableError } from '../errors.js'
import { fillTenant, isTemplate, Tenants } from '../oauth/upstream/tenants.js'
import { Upstream } from '../oauth/upstream/upstream.js'
import { isOutage, UPSTREAM_OUTAGE } from './advice.js'
import { readAudience } from './audience.js'
import { examineClock } from './clock.js'
import { parseObject, send, toReason } from './http-probe.js'
import type { Findings } from './findings.js'
import type { BackChannel } from '../outbound/back-channel.js'
import type { Proxy } from '../outbound/proxy.js'
import { logInAt, type OpenInBrowser } from './login.js'
import { saidBy } from './registration.js'
import { examineTokenEndpoint } from './upstream-token.js'

/** For the iss of a made-up response. */
const NO_TENANT = '00000000-0000-0000-0000-000000000000'
const BY_HAND = 'Register one client there by hand, with the redirect URI PUBLIC_URL/oauth/callback, and set ' +
  'OAUTH_CLIENT_ID and OAUTH_CLIENT_SECRET.'

const WITHOUT_DISCOVERY = 'For an upstream without discovery, set OAUTH_AUTHORIZATION_URL and OAUTH_TOKEN_URL.'

/** Examines the upstream as the service sees it, with the service's configuration. */
export async function examineUpstream (
  options: UpstreamSettings,
  { publicUrl, proxy }: { publicUrl: string, proxy?: Proxy | undefined },
  findings: Findings,
  open?: OpenInBrowser
): Promise<void> {
  const callbackUrl = `${publicUrl}/oauth/callback`
  const examination = { findings, proxy, backChannel: makeBackChannel(options) }
  let metadata: ServerMetadata | undefined
  if (options.issuerUrl !== undefined) {
    metadata = await examineDiscovery(options, options.issuerUrl, examination)
    if (metadata === undefined && options.authorizationUrl === undefined) return
    if (metadata !== undefined) examineMetadata(metadata, options, findings)
  }
  const upstream = new Upstream(options, callbackUrl, Date.now)
  const client = upstream.staticClient ?? await register(upstream, findings)
  if (client === undefined) return
  await examineRedirect(upstream, client, callbackUrl, examination)
  await examineTokenEndpoint(upstream, client, metadata && fillTenant(metadata.issuer, NO_TENANT), findings)
  if (upstream.staticClient !== undefined) return
  await upstream.registration.deregister(client).catch(() => {})
  if (open !== undefined) await examineLogin(options, open, findings)
}

interface Examination {
  findings: Findings
  /** The proxy to the internet. */
  proxy: Proxy | undefined
  /** The way to the upstream. */
  backChannel: BackChannel
}

async function examineDiscovery (
  { fetch: ask = fetch, allowedTenants }: UpstreamSettings,
  issuerUrl: URL,
  { findings, proxy, backChannel }: Examination
): Promise<ServerMetadata | undefined> {
  const { internalUrl } = backChannel
  const tenants = Tenants.find(issuerUrl, allowedTenants)
  try {
    const metadata = await discover(issuerUrl, backChannel.fetch(ask), undefined, { backChannel, tenants })
    findings.ok(
      'upstream-discovery',
      `${metadata.issuer} describes itself${internalUrl === undefined ? '' : `, asked at ${internalUrl.href}`}`
    )
    if (tenants !== undefined) examineTenants(tenants, findings)
    const page = backChannel.toInternal(new URL(metadata.authorization_endpoint ?? issuerUrl.href))
    examineClock(
      findings,
      'upstream-clock',
      'the upstream',
      (await send(page, { proxy })).headers
    )
    return metadata
  } catch (error) {
    const named = await issuerNamedAt(issuerUrl, proxy, backChannel)
    if (named !== undefined && backChannel.isInternal(named)) {
      findings.fail(
        'upstream-issuer',
        `the upstream calls itself ${named}, by the address that it was asked at (OAUTH_INTERNAL_URL), but ` +
          `OAUTH_ISSUER_URL is ${issuerUrl.href}: its tokens would be refused`,
        'Tell the upstream its public URL: in Keycloak, set KC_HOSTNAME to it.'
      )
    } else if (tenants === undefined && isOther(named, issuerUrl)) {
      findings.fail(
        'upstream-issuer',
        `the upstream calls itself ${named}, but OAUTH_ISSUER_URL is ${issuerUrl.href}: its tokens would be refused`,
        `Set OAUTH_ISSUER_URL=${named}.`
      )
    } else {
      findings.fail(
        'upstream-discovery',
        toReason(error),
        internalUrl === undefined
          ? `Check OAUTH_ISSUER_URL, and that this machine reaches it. ${WITHOUT_DISCOVERY}`
          : `Check OAUTH_ISSUER_URL (${issuerUrl.href}), and that this machine reaches OAUTH_INTERNAL_URL ` +
            `(${internalUrl.href}). ${WITHOUT_DISCOVERY}`
      )
    }
    return undefined
  }
}

/** Whether metadata name another issuer, and not that of many tenants. */
function isOther (named: string | undefined, { href }: URL): named is string {
  return named !== undefined && named !== href && !isTemplate(named)
}

function examineTenants ({ allowed }: Tenants, findings: Findings): void {
  const check = 'upstream-tenants'
  if (allowed !== undefined) findings.ok(check, `people of these tenants may log in: ${allowed.join(', ')}`)
  else {
    findings.warn(
      check,
      'OAUTH_ALLOWED_TENANTS is *: everybody with a Microsoft account may log in',
      'Name the tenants, unless that is what you want.'
    )
  }
}

/** The issuer that the metadata at the issuer's URL names. */
async function issuerNamedAt (
  issuerUrl: URL,
  proxy: Proxy | undefined,
  backChannel: BackChannel
): Promise<string | undefined> {
  const path = issuerUrl.pathname.replace(/\/$/, '')
  for (const place of [`${path}/.well-known/openid-configuration`, `/.well-known/oauth-authorization-server${path}`]) {
    const reply = await send(backChannel.toInternal(new URL(place, issuerUrl)), { proxy }).catch(() => undefined)
    const issuer = reply === undefined ? undefined : parseObject(reply.body)?.issuer
    if (typeof issuer === 'string') return issuer
  }
  return undefined
}

function examineMetadata (
  metadata: ServerMetadata,
  { scopes, extraAuthorizeParams = {} }: UpstreamSettings,
  findings: Findings
): void {
  const { code_challenge_methods_supported: methods, grant_types_supported: grants, scopes_supported: supported } =
    metadata
  if (methods === undefined) {
    findings.warn(
      'upstream-pkce',
      'the upstream does not say whether it takes PKCE; it is used all the same',
      'Nothing to do if logins work.'
    )
  } else if (methods.includes('S256')) findings.ok('upstream-pkce', 'the upstream takes PKCE with S256')
  else {
    findings.fail(
      'upstream-pkce',
      `the upstream takes PKCE with ${methods.join(', ')} only, and this service sends S256`,
      'Switch S256 on there.'
    )
  }
  const asked = scopes.includes('offline_access') && (supported === undefined || supported.includes('offline_access'))
  const otherwise = 'access_type' in extraAuthorizeParams
  if (grants !== undefined && !grants.includes('refresh_token')) {
    findings.warn(
      'upstream-refresh',
      'the upstream does not list the grant type refresh_token, so it issues no refresh token: ' +
        'tools lose access to it when its access token expires',
      'Switch refresh tokens on there, or let people log in again.'
    )
  } else if (!asked && !otherwise) {
    findings.warn(
      'upstream-refresh',
      `the upstream is not asked for a refresh token: ${
        scopes.includes('offline_access') ? 'it has no scope offline_access' : 'OAUTH_SCOPES lacks offline_access'
      }`,
      'Ask the way it wants: a scope in OAUTH_SCOPES, or OAUTH_EXTRA_AUTHORIZE_PARAMS ' +
        '(for Google: access_type=offline&prompt=consent).'
    )
  } else findings.ok('upstream-refresh', 'a refresh token is asked for')
}

async function register (upstream: Upstream, findings: Findings): Promise<UpstreamClient | undefined> {
  try {
    const client = await upstream.registration.register('fastify-mcp-oauth doctor')
    findings.ok('upstream-registration', 'this service can register there')
    return client
  } catch (error) {
    findings.fail(
      'upstream-registration',
      `the upstream does not register this service: ${toReason(error)}`,
      error instanceof TemporarilyUnavailableError ? UPSTREAM_OUTAGE : BY_HAND
    )
    return undefined
  }
}

/** Sends the authorization request that a browser would send, and examines the page that a person would see. */
async function examineRedirect (
  upstream: Upstream,
  client: UpstreamClient,
  callbackUrl: string,
  { findings, proxy, backChannel }: Examination
): Promise<void> {
  const fix = `Register the redirect URI ${callbackUrl} at the upstream, exactly so.`
  try {
    const { url } = await upstream.begin(client, 'doctor')
    // this machine may not reach what a browser reaches
    const asked = backChannel.toInternal(new URL(url))
    const reply = await send(asked, { headers: { accept: 'text/html' }, proxy })
    const { status, headers: { location }, body } = reply
    const target = location !== undefined && URL.canParse(location, url) ? new URL(location, url) : undefined
    const error = target?.searchParams.get('error')
    if (isOutage(status)) {
      const says = `the upstream answers the authorization request with ${status}`
      findings.fail('upstream-redirect', says, UPSTREAM_OUTAGE)
    } else if (status >= 400) {
      findings.fail(
        'upstream-redirect',
        `the upstream refuses the authorization request with ${status}, so it does not know the client ` +
          `or its redirect URI: ${saidBy(body)}`,
        fix
      )
    } else if (typeof error === 'string') {
      findings.fail(
        'upstream-authorize',
        `the upstream refuses the authorization request: ${error} ${
          target?.searchParams.get('error_description') ?? ''
        }`,
        'Look at OAUTH_SCOPES and OAUTH_EXTRA_AUTHORIZE_PARAMS.'
      )
    } else {
      const { origin, pathname } = new URL(url)
      const where = asked.href === url ? '' : `, asked at ${asked.origin}; browsers are sent to ${origin}${pathname}`
      findings.ok('upstream-redirect', `the upstream takes ${callbackUrl}${where}`)
    }
  } catch (error) {
    findings.fail('upstream-redirect', `the authorization request could not be made: ${toReason(error)}`, fix)
  }
}

/** Logs in at the upstream itself. */
async function examineLogin (options: UpstreamSettings, open: OpenInBrowser, findings: Findings): Promise<void> {
  try {
    const { accessToken, refreshToken } = await logInAt(options, open)
    const wanted = options.extraAuthorizeParams?.audience
    if (wanted !== undefined && !readAudience(accessToken).includes(wanted)) {
      findings.fail(
        'upstream-audience',
        `OAUTH_EXTRA_AUTHORIZE_PARAMS asks for a token for ${wanted}, but a login there gave one for something else`,
        'Register that API at the upstream, and allow this client to ask for it.'
      )
    }
    if (refreshToken === undefined) {
      findings.fail(
        'upstream-refresh',
        'a login there gave no refresh token: tools lose access to the upstream when its access token expires',
        'Check OAUTH_SCOPES (offline_access), and that the upstream issues refresh tokens to this client.'
      )
    } else findings.ok('upstream-login', 'a login there gave a refresh token')
  } catch (error) {
    findings.fail(
      'upstream-login',
      `a login at the upstream failed: ${toReason(error)}`,
      'The upstream\'s own log may say more.'
    )
  }
}
