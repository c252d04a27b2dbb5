import type { GrantStore, IssuedTokens } from '../../src/stores/grants.js'

/** Epoch seconds, so many from now. */
export const later = (seconds: number) => Math.floor(Date.now() / 1000) + seconds

/** Tokens of a grant, with hashes `access-<name>` and `refresh-<name>`. */
export function tokensOf (grantId: string, name: string): IssuedTokens {
  const record = { grantId, scopes: [], expiresAt: later(300) }
  return {
    access: { hash: `access-${name}`, record },
    refresh: { hash: `refresh-${name}`, record },
    sealedResponse: `response-${name}`
  }
}

/** Makes a grant stand, as a login does: its code is redeemed for tokens of this name. */
export async function addGrant (grants: GrantStore, grantId: string, subject = 's', name = '1'): Promise<void> {
  const grant = {
    grantId,
    clientId: 'c',
    issuer: 'i',
    subject,
    claims: {},
    scopes: [],
    resource: 'r',
    expiresAt: later(600),
    sealedUpstreamTokens: 'sealed',
    upstreamVersion: 0
  }
  const code = `code-${name}`
  await grants.putCode(code, { grant, redirectUri: 'u', codeChallenge: 'x', expiresAt: later(60), used: false })
  await grants.redeemCode(code, tokensOf(grantId, name))
}
