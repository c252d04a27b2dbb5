import type { Provider } from './provider.js'

/** Okta. The org authorization server says groups for the scope `groups`, a custom one as its claims are set up. */
export const okta: Provider = {
  preset: { groupsClaim: 'groups', scopes: ['openid', 'profile', 'email', 'offline_access'] },
  registers: false,
  findIssuer: text => /^[\w-]+(\.[\w-]+)+$/.test(text) ? `https://${text}` : undefined,
  instance: 'the domain of the org, or the issuer of a custom authorization server such as ' +
    'https://YOUR_DOMAIN.okta.com/oauth2/default',
  groupScopes: ['groups'],
  areGroupScopesListed: true
}
