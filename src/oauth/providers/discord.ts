import { getMember } from '../../members.js'
import type { Provider } from './provider.js'
import { readList, toGroups } from './provider-api.js'

const USER_URL = 'https://discord.com/api/users/@me'

/** Discord: OAuth 2, whose API says who a person is. Groups are ids of servers: names are not unique. */
export const discord: Provider = {
  preset: {
    authorizationUrl: 'https://discord.com/oauth2/authorize',
    tokenUrl: 'https://discord.com/api/oauth2/token',
    revocationUrl: 'https://discord.com/api/oauth2/token/revoke',
    userinfoUrl: USER_URL,
    subjectClaim: 'id',
    scopes: ['identify', 'email']
  },
  registers: false,
  groupScopes: ['guilds'],
  asksFor: ['groups'],
  complete: async ({ verified }, wanted, api) => ({
    email_verified: verified === true,
    // one page has all: nobody is in more than 200
    ...wanted.groups && {
      groups: toGroups(
        readList(await api.ask(api.under(USER_URL, '/guilds')), 'the servers').map(guild => getMember(guild, 'id'))
      )
    }
  })
}
