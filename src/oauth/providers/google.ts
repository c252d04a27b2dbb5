import { getMember } from '../../members.js'
import type { Provider } from './provider.js'
import { MAX_PAGES, readList, toGroups, type ProviderApi } from './provider-api.js'

const GROUPS_URL = 'https://cloudidentity.googleapis.com/v1/groups/-/memberships:searchDirectGroups'

/**
 * Google. Groups are the addresses of those that a person of a Workspace is a direct member of, and may see, by the
 * Cloud Identity API; the Admin SDK takes no token of an ordinary person.
 */
export const google: Provider = {
  preset: {
    issuerUrl: 'https://accounts.google.com',
    scopes: ['openid', 'profile', 'email'],
    // both are needed for a refresh token
    extraAuthorizeParams: { access_type: 'offline', prompt: 'consent' }
  },
  registers: false,
  groupScopes: ['https://www.googleapis.com/auth/cloud-identity.groups.readonly'],
  asksFor: ['groups'],
  complete: async ({ email, hd }, wanted, api) => {
    if (!wanted.groups) return {}
    // an account that no Workspace has
    if (typeof email !== 'string' || typeof hd !== 'string') return { groups: [] }
    return { groups: await fetchGroups(api, email) }
  }
}

async function fetchGroups (api: ProviderApi, email: string): Promise<string[]> {
  const groups: unknown[] = []
  const url = new URL(GROUPS_URL)
  url.searchParams.set('query', `member_key_id == '${email.replace(/['\\]/g, character => `\\${character}`)}'`)
  url.searchParams.set('page_size', '200')
  for (let page = 1; page <= MAX_PAGES; page++) {
    const response = await api.ask(url)
    const memberships = readList(getMember(response, 'memberships') ?? [], 'memberships')
    groups.push(...memberships.map(membership => getMember(getMember(membership, 'groupKey'), 'id')))
    const next = getMember(response, 'nextPageToken')
    if (typeof next !== 'string' || next === '') break
    url.searchParams.set('page_token', next)
  }
  return toGroups(groups)
}
