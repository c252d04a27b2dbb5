import { getMember } from '../../members.js'
import type { Provider } from './provider.js'
import { MAX_PAGES, readList, toGroups, type ProviderApi } from './provider-api.js'

const USER_URL = 'https://api.github.com/user'
const HEADERS = { accept: 'application/vnd.github+json', 'x-github-api-version': '2022-11-28' }
const PER_PAGE = 100

/** GitHub: OAuth 2, whose API says who a person is. Groups are organizations (`org`) and teams (`org/team`). */
export const github: Provider = {
  preset: {
    authorizationUrl: 'https://github.com/login/oauth/authorize',
    tokenUrl: 'https://github.com/login/oauth/access_token',
    userinfoUrl: USER_URL,
    subjectClaim: 'id',
    scopes: ['read:user', 'user:email']
  },
  registers: false,
  groupScopes: ['read:org'],
  asksFor: ['groups', 'email'],
  complete: async (_claims, wanted, api) => {
    const [address, groups] = await Promise.all([
      wanted.email ? fetchAddress(api) : {},
      wanted.groups ? fetchGroups(api) : undefined
    ])
    return { ...address, ...groups && { groups } }
  }
}

/** The address that is the primary one, instead of that of the profile, of which nobody says that it is verified. */
async function fetchAddress (api: ProviderApi): Promise<{ email: unknown, email_verified: boolean }> {
  const all = readList(await fetchPage(api, '/emails', 1), 'the addresses')
  const primary = all.find(address => getMember(address, 'primary') === true)
  return { email: getMember(primary, 'email'), email_verified: getMember(primary, 'verified') === true }
}

async function fetchGroups (api: ProviderApi): Promise<string[]> {
  const [organizations, teams] = await Promise.all([fetchAll(api, '/orgs'), fetchAll(api, '/teams')])
  return toGroups([
    ...organizations.map(organization => getMember(organization, 'login')),
    ...teams.map(toTeam)
  ])
}

function toTeam (team: unknown): string | undefined {
  const [organization, slug] = [getMember(getMember(team, 'organization'), 'login'), getMember(team, 'slug')]
  return typeof organization === 'string' && typeof slug === 'string' ? `${organization}/${slug}` : undefined
}

async function fetchAll (api: ProviderApi, path: string): Promise<unknown[]> {
  const all: unknown[] = []
  for (let page = 1; page <= MAX_PAGES; page++) {
    const some = readList(await fetchPage(api, path, page), `the list of ${path}`)
    all.push(...some)
    if (some.length < PER_PAGE) break
  }
  return all
}

// the page by its number: the links in headers could lead the token elsewhere
async function fetchPage (api: ProviderApi, path: string, page: number): Promise<unknown> {
  const url = api.under(USER_URL, path, { per_page: String(PER_PAGE), page: String(page) })
  return await api.ask(url, { headers: HEADERS })
}
