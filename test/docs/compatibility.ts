import { clients } from '../e2e/client-list.js'
import { loginServerCases } from '../upstreams/login-server-cases.js'
import { loginServers } from '../upstreams/shapes/list.js'
import { readRecipe } from '../upstreams/shapes/recipe.js'

// those whose value is the same for everybody
const SHOWN = new Set([
  'OAUTH_SCOPES',
  'OAUTH_PKCE',
  'OAUTH_CLIENT_AUTH_METHOD',
  'OAUTH_SUBJECT_CLAIM',
  'OAUTH_ALLOW_MISSING_NONCE'
])

/** The text of `docs/compatibility.md`: the lists that the tests run. */
export function compatibilityPage (): string {
  const clientRows = clients.map(({ name, version, tried, by, set }) =>
    `| ${name} | ${version} | ${tried} | \`${by}\` | ${set} |`
  )
  const serverRows = loginServers.map(server => {
    const { name, run, recipe } = server
    const tried = loginServerCases.flatMap(({ applies }, index) => applies(server) ? [index + 1] : []).join(', ')
    const set = Object.entries(readRecipe(recipe)).flatMap(([variable, value]) =>
      variable === 'PUBLIC_URL' ? [] : [`\`${SHOWN.has(variable) ? `${variable}=${value}` : variable}\``]
    )
    return `| ${name} | ${run} | ${tried} | ${set.join(', ')} ([recipe](upstreams/${recipe.page})) |`
  })
  const cases = loginServerCases.map(({ name }, index) => `${index + 1}. ${name}`)
  return `# Compatibility

Which clients and login servers were tried, how, and what to set for them. \`npm run docs\` generates this page from the
lists that the tests run, so what is not run does not stand here.

## Clients

Each did what the column "tried" says. Scripts outside the test suite need the network, to install what they run.

| client | version | tried | by | what to set |
| --- | --- | --- | --- | --- |
${clientRows.join('\n')}

## Login servers

Each is run with the settings of its recipe, as written there. The real package is run if one can be installed;
the others by what their documentation says of endpoints, metadata, responses and errors. \`PUBLIC_URL\` is always set.

| login server | run | tried | what to set |
| --- | --- | --- | --- |
${serverRows.join('\n')}

The numbers in the column "tried", which \`test/upstreams/login-servers.test.ts\` runs:

${cases.join('\n')}
`
}
