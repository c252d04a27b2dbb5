import type { Provider } from './provider.js'

/** Keycloak. A mapper of the client has to add groups, or roles: OAUTH_GROUPS_CLAIM=realm_access.roles. */
export const keycloak: Provider = {
  preset: { groupsClaim: 'groups', scopes: ['openid', 'profile', 'email', 'offline_access'] },
  registers: true,
  instance: 'the URL of the realm, such as https://keycloak.example.com/realms/YOUR_REALM'
}
