import type { Shape } from './shape.js'

/*
 * Okta, the custom authorization server "default": access tokens have cid and uid, and refresh tokens stay. The org
 * authorization server has the same endpoints without /default, and opaque access tokens.
 */
const okta = (name: string, issuer: string, base: string, blocks: number[]): Shape => ({
  name,
  recipe: { page: 'okta.md', blocks },
  values: { YOUR_DOMAIN: 'acme' },
  issuer,
  endpoints: {
    authorize: `${base}/v1/authorize`,
    token: `${base}/v1/token`,
    userinfo: `${base}/v1/userinfo`,
    revoke: `${base}/v1/revoke`,
    jwks: `${base}/v1/keys`
  },
  metadata: {
    // it takes an API token
    registration_endpoint: 'https://acme.okta.com/oauth2/v1/clients',
    scopes_supported: ['openid', 'profile', 'email', 'address', 'phone', 'offline_access', 'device_sso'],
    token_endpoint_auth_methods_supported: [
      'client_secret_basic',
      'client_secret_post',
      'client_secret_jwt',
      'private_key_jwt',
      'none'
    ],
    end_session_endpoint: `${base}/v1/logout`
  },
  authMethod: 'client_secret_basic',
  lifetimeSeconds: 3600,
  refreshes: true,
  rotates: false,
  subject: '00uid4BxXw6I6TV4m0g3',
  idToken: {
    ver: 1,
    amr: ['pwd'],
    idp: '00o5t60il2UzcrTBGB0g4',
    jti: 'ID.4eAWJOCMB3SX8XewDfVR',
    auth_time: 1_790_000_000,
    name: 'Alice Liddell',
    preferred_username: 'alice@example.com'
  },
  userinfo: { sub: '00uid4BxXw6I6TV4m0g3', name: 'Alice Liddell', zoneinfo: 'America/Los_Angeles' },
  tokens: { scope: 'openid profile email offline_access' },
  refusals: {
    code: {
      status: 400,
      body: { error: 'invalid_grant', error_description: 'The authorization code is invalid or has expired.' }
    },
    refresh: {
      status: 400,
      body: { error: 'invalid_grant', error_description: 'The refresh token is invalid or expired.' }
    },
    secret: {
      status: 401,
      body: {
        error: 'invalid_client',
        error_description: 'The client secret supplied for a confidential client is invalid.'
      }
    }
  },
  cancelled: {
    error: 'access_denied',
    error_description: 'The resource owner or authorization server denied the request.'
  }
})

export const oktaCustom = okta(
  'Okta, custom authorization server',
  'https://acme.okta.com/oauth2/default',
  'https://acme.okta.com/oauth2/default',
  [0]
)

export const oktaOrg = okta('Okta, org authorization server', 'https://acme.okta.com', 'https://acme.okta.com/oauth2', [
  0,
  1
])
