import { randomPKCECodeVerifier } from 'openid-client'
import { OAuthError } from '../errors.js'
import type { UpstreamClient } from '../oauth/upstream/registration.js'
import type { Upstream } from '../oauth/upstream/upstream.js'
import { UPSTREAM_OUTAGE } from './advice.js'
import type { Findings } from './findings.js'
import { toReason } from './http-probe.js'

const CHECK = 'upstream-token'
const STATE = 'doctor'

/**
 * Redeems a code that the upstream never issued. It authenticates us first (RFC 6749 3.2.1), so `invalid_grant` shows
 * that it takes our secret, and anything else that nobody can log in.
 * @param issuer what the upstream calls itself; undefined if that is not known
 */
export async function examineTokenEndpoint (
  upstream: Upstream,
  client: UpstreamClient,
  issuer: string | undefined,
  findings: Findings
): Promise<void> {
  const query = new URLSearchParams({ code: 'made-up', state: STATE, ...issuer !== undefined && { iss: issuer } })
  const error = await upstream.redeem(client, `?${query}`, { state: STATE, codeVerifier: randomPKCECodeVerifier() })
    .then(() => undefined, (error: unknown) => error)
  const reason = error instanceof OAuthError ? error.reason : undefined
  if (reason === 'upstream_refused_code') {
    findings.ok(CHECK, 'its token endpoint takes this service\'s credentials, and refused only a made-up code')
  } else if (reason === 'upstream_unreachable' || reason === 'upstream_needs_operator') {
    findings.fail(CHECK, `its token endpoint cannot serve: ${toReason(error)}`, UPSTREAM_OUTAGE)
  } else if (reason === 'upstream_answer_unusable') {
    findings.warn(
      CHECK,
      `its token endpoint answers a made-up code with something unusual: ${toReason(error)}`,
      'If logins fail, look at OAUTH_TOKEN_URL, and at the log of the upstream.'
    )
  } else if (error === undefined) {
    findings.fail(CHECK, 'its token endpoint gave tokens for a made-up code', 'Do not use this authorization server.')
  } else {
    findings.fail(
      CHECK,
      `its token endpoint refuses this service, so nobody can log in: ${toReason(error)}`,
      'OAUTH_CLIENT_ID or OAUTH_CLIENT_SECRET is wrong or has expired: create a new secret there, and set it.'
    )
  }
}
