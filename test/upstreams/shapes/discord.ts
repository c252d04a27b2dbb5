import type { Shape } from './shape.js'

/*
 * Discord, OAuth 2: its API says who a person is, and of which servers (guilds) they are a member. It has no discovery
 * for this, and its refresh tokens rotate.
 */
const api = 'https://discord.com/api'

export const discord: Shape = {
  name: 'Discord',
  recipe: { page: 'discord.md' },
  values: { YOUR_SERVER: '197038439483310086' },
  endpoints: {
    authorize: 'https://discord.com/oauth2/authorize',
    token: `${api}/oauth2/token`,
    revoke: `${api}/oauth2/token/revoke`,
    user: `${api}/users/@me`
  },
  authMethod: 'client_secret_post',
  lifetimeSeconds: 604_800,
  refreshes: true,
  subject: '80351110224678912',
  userinfo: {
    id: '80351110224678912',
    username: 'alice',
    discriminator: '0',
    global_name: 'Alice',
    email: 'alice@example.com',
    verified: true
  },
  further: {
    [`${api}/users/@me/guilds`]: {
      scope: 'guilds',
      body: [{ id: '197038439483310086', name: 'Acme', owner: false, permissions: '0', features: [] }]
    }
  },
  tokens: { scope: 'identify email guilds' },
  refusals: {
    code: { status: 400, body: { error: 'invalid_grant', error_description: 'Invalid "code" in request.' } },
    refresh: { status: 400, body: { error: 'invalid_grant' } },
    secret: { status: 401, body: { error: 'invalid_client' } }
  },
  cancelled: { error: 'access_denied', error_description: 'The resource owner denied the request' }
}
