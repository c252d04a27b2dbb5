import type { Shape } from './shape.js'
import type { UpstreamAnswer } from '../../../src/testing/index.js'

/*
 * GitHub: OAuth 2 without discovery, ID tokens or RFC 7009. Token responses are forms unless JSON is asked for; errors
 * come with 200. Its API says who a person is, with a number. Tokens of OAuth Apps do not expire; those of GitHub Apps
 * live for eight hours, and are refreshed.
 */
const help = 'https://docs.github.com/apps/managing-oauth-apps/troubleshooting-oauth-app-access-token-request-errors/'
const refusal = (error: string, description: string): UpstreamAnswer => ({
  status: 200,
  body: { error, error_description: description, error_uri: `${help}#${error.replaceAll('_', '-')}` }
})

export const githubOAuthApp: Shape = {
  name: 'GitHub, OAuth App',
  recipe: { page: 'github.md' },
  values: { YOUR_ORG: 'acme' },
  endpoints: {
    authorize: 'https://github.com/login/oauth/authorize',
    token: 'https://github.com/login/oauth/access_token',
    user: 'https://api.github.com/user'
  },
  authMethod: 'client_secret_post',
  lifetimeSeconds: null,
  refreshes: false,
  subject: '583231',
  userinfo: { login: 'alice', id: 583_231, node_id: 'MDQ6VXNlcjU4MzIzMQ==', name: 'Alice Liddell', email: null },
  further: {
    'https://api.github.com/user/orgs': { scope: 'read:org', body: [{ login: 'acme', id: 1 }] },
    'https://api.github.com/user/teams': {
      scope: 'read:org',
      body: [{ name: 'Staff only', slug: 'staff', organization: { login: 'acme' } }]
    },
    'https://api.github.com/user/emails': {
      scope: 'user:email',
      body: [
        { email: 'old@example.org', primary: false, verified: false, visibility: null },
        { email: 'alice@example.com', primary: true, verified: true, visibility: 'private' }
      ]
    }
  },
  tokens: { token_type: 'bearer', scope: 'read:user,user:email' },
  refusals: {
    code: refusal('bad_verification_code', 'The code passed is incorrect or expired.'),
    refresh: refusal('bad_refresh_token', 'The refresh token passed is incorrect or expired.'),
    secret: refusal('incorrect_client_credentials', 'The client_id and/or client_secret passed are incorrect.')
  },
  cancelled: {
    error: 'access_denied',
    error_description: 'The user has denied your application access.',
    error_uri: '/apps/building-oauth-apps/troubleshooting-authorization-request-errors/#access-denied'
  },
  peculiar: {
    token: () => async (request, usual) => {
      const answer = await usual()
      if (answer.status !== 200 || request.headers.accept?.includes('json') === true) return answer
      throw new Error('JSON is asked for.')
    }
  }
}

export const githubApp: Shape = {
  ...githubOAuthApp,
  name: 'GitHub, GitHub App',
  lifetimeSeconds: 28_800,
  refreshes: true,
  tokens: { token_type: 'bearer', scope: '', refresh_token_expires_in: 15_897_600 }
}
