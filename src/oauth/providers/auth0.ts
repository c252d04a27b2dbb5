import type { Provider } from './provider.js'

/** Auth0. An action of the tenant has to add groups, in a claim that a URL names: OAUTH_GROUPS_CLAIM. */
export const auth0: Provider = {
  preset: { scopes: ['openid', 'profile', 'email', 'offline_access'] },
  registers: true,
  // its own metadata have the slash
  findIssuer: text => /^[\w-]+(\.[\w-]+)+$/.test(text) ? `https://${text}/` : undefined,
  instance: 'the domain of the tenant, such as YOUR_TENANT.eu.auth0.com'
}
