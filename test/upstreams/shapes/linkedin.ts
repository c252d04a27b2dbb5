import type { Shape } from './shape.js'

/*
 * LinkedIn, Sign In with OpenID Connect: ID tokens have no nonce; the client authenticates in the body, which its
 * metadata does not say; a code_verifier is refused as if the secret were wrong; a person who cancels is
 * user_cancelled_login or user_cancelled_authorize; access tokens live for 60 days, and refresh tokens are for chosen
 * partners.
 */
const base = 'https://www.linkedin.com/oauth'
const VERIFIER = 'nobody-has-asked-for-pkce-0123456789-0123456789'
const CHALLENGE = 'bws_cgOjnMMC3X4ZrLzVa9-Y1ovhp78Jp3AUOp7Xj_s'

export const linkedin: Shape = {
  name: 'LinkedIn',
  recipe: { page: 'linkedin.md' },
  issuer: base,
  endpoints: {
    authorize: `${base}/v2/authorization`,
    token: `${base}/v2/accessToken`,
    userinfo: 'https://api.linkedin.com/v2/userinfo',
    jwks: `${base}/openid/jwks`
  },
  metadata: {
    scopes_supported: ['openid', 'profile', 'email'],
    subject_types_supported: ['pairwise'],
    token_endpoint_auth_methods_supported: undefined,
    code_challenge_methods_supported: undefined
  },
  authMethod: 'client_secret_post',
  lifetimeSeconds: 5_184_000,
  refreshes: false,
  nonce: false,
  subject: '782bbtaQ',
  idToken: { name: 'Alice Liddell', locale: 'en_US', email: 'alice@example.com', email_verified: 'true' },
  userinfo: {
    sub: '782bbtaQ',
    name: 'Alice Liddell',
    locale: { country: 'US', language: 'en' },
    email: 'alice@example.com',
    email_verified: true
  },
  tokens: { scope: 'email,openid,profile' },
  refusals: {
    code: {
      status: 400,
      body: {
        error: 'invalid_request',
        error_description: 'Unable to retrieve access token: appid/redirect uri/code verifier does not match ' +
          'authorization code. Or authorization code expired. Or external member binding exists'
      }
    },
    refresh: {
      status: 400,
      body: { error: 'invalid_request', error_description: 'The provided refresh token is expired' }
    },
    secret: { status: 401, body: { error: 'invalid_client', error_description: 'Client authentication failed' } }
  },
  cancelled: { error: 'user_cancelled_login', error_description: 'The user cancelled LinkedIn login' },
  peculiar: {
    authorize: () => async (request, usual) => {
      Object.assign(request.parameters, { code_challenge: CHALLENGE, code_challenge_method: 'S256' })
      return await usual()
    },
    token: () => async (request, usual) => {
      if (request.parameters.code_verifier !== undefined) return { status: 401 }
      Object.assign(request.parameters, { code_verifier: VERIFIER })
      return await usual()
    }
  }
}
