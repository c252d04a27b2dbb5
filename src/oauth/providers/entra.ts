import { getMember } from '../../members.js'
import type { Provider, ProviderClaims } from './provider.js'
import { readList, toGroups, type ProviderApi } from './provider-api.js'

const TENANT = /^([\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}|common|organizations|consumers)$/i
const GRAPH = 'https://graph.microsoft.com'

/**
 * Microsoft Entra ID. Groups are object ids: of the claim `groups`, or of Graph if there are too many for a token, or
 * the app registration has no such claim.
 */
export const entra: Provider = {
  preset: { scopes: ['openid', 'profile', 'email', 'offline_access'] },
  registers: false,
  findIssuer: text => TENANT.test(text) ? `https://login.microsoftonline.com/${text}/v2.0` : undefined,
  instance: 'the id of the tenant, or its issuer such as https://login.microsoftonline.com/TENANT_ID/v2.0',
  groupScopes: ['User.Read'],
  asksFor: ['groups'],
  complete: async (claims, wanted, api) => ({
    ...findVerification(claims),
    ...wanted.groups && needsGraph(claims, api.scopes) && { groups: await fetchGroups(api) }
  })
}

/** Whether the domain of the address has been verified by the tenant: an optional claim, in several spellings. */
function findVerification ({ xms_edov: verified }: ProviderClaims): ProviderClaims {
  return verified === undefined ? {} : { email_verified: ['true', '1'].includes(String(verified)) }
}

function needsGraph (claims: ProviderClaims, scopes: readonly string[]): boolean {
  if (claims.groups !== undefined) return false
  const isOverage = getMember(claims._claim_names, 'groups') !== undefined || String(claims.hasgroups) === 'true'
  // a token for another API is of no use at Graph
  return isOverage || !scopes.some(scope => scope.includes('://') && !scope.startsWith(`${GRAPH}/`))
}

// the endpoint is Graph's, never the one that the token names (_claim_sources)
async function fetchGroups (api: ProviderApi): Promise<string[]> {
  const url = new URL(`${GRAPH}/v1.0/me/getMemberObjects`)
  return toGroups(readList(getMember(await api.ask(url, { body: { securityEnabledOnly: false } }), 'value'), 'value'))
}
