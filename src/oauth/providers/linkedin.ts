import type { Provider } from './provider.js'

/** LinkedIn: it refuses a code_verifier, its ID tokens have no nonce, and its client authenticates in the body. */
export const linkedin: Provider = {
  preset: {
    issuerUrl: 'https://www.linkedin.com/oauth',
    scopes: ['openid', 'profile', 'email'],
    clientAuthMethod: 'client_secret_post',
    allowMissingNonce: true,
    pkce: false
  },
  registers: false
}
