import type { Provider } from './provider.js'

/** GitLab: gitlab.com, unless the issuer is another. Groups are full paths, also of those above; userinfo has them. */
export const gitlab: Provider = {
  preset: { issuerUrl: 'https://gitlab.com', groupsClaim: 'groups', scopes: ['openid', 'profile', 'email'] },
  registers: true
}
