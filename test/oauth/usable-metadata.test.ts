import t, { type Test } from 'tap'
import { valueAt } from '../support/json.js'
import { keyHost, newKey } from '../support/client-keys.js'
import { ask, askToRegister, authorizationUrl, WEB_URI } from '../support/oauth-flow.js'
import { embed, type Target } from '../support/target.js'

/*
 * A client is not refused for a member that we do not need: what is usable of its metadata is taken, and operators are
 * told what is not.
 */

const ADMIN_TOKEN = 'the-token-of-the-operators'
const start = (t: Test) => embed(t, { allowLoopbackClients: true, adminToken: ADMIN_TOKEN })
const { jwk } = await newKey('ES256')

/** What operators are told of the last step. */
async function told ({ app }: Target): Promise<string> {
  const headers = { authorization: `Bearer ${ADMIN_TOKEN}`, accept: 'application/json' }
  const report: unknown = (await app.inject({ url: '/admin/attempts', headers })).json()
  const steps = valueAt(report, 'attempts', 0, 'steps')
  return String(valueAt(Array.isArray(steps) ? steps.at(-1) : undefined, 'text') ?? '')
}

/** Members, how the registration has them, and what operators are told. */
const TAKEN: Array<[given: Record<string, unknown>, registered: Record<string, unknown>, told: RegExp]> = [
  [{ application_type: 'browser' }, { application_type: undefined }, /^Not taken: application_type \(/],
  [{ application_type: 7 }, { application_type: undefined }, /^Not taken: application_type \(/],
  [{ scope: ['mcp', 'more'] }, { scope: 'mcp more' }, /^$/],
  [{ scope: { mcp: true } }, { scope: undefined }, /^Not taken: scope \(/],
  [{ scope: [1] }, { scope: undefined }, /^Not taken: scope \(/],
  [{ logo_uri: 'data:image/png;base64,AAAA' }, { logo_uri: undefined }, /^Not taken: logo_uri \(it must be an http/],
  [{ logo_uri: 'javascript:alert(1)' }, { logo_uri: undefined }, /logo_uri/],
  [{ logo_uri: `data:image/png;base64,${'A'.repeat(5000)}` }, { logo_uri: undefined }, /logo_uri/],
  [{ client_uri: 'not a URL', tos_uri: {}, policy_uri: 1 }, { client_uri: undefined }, /client_uri.*tos_uri/],
  [{ contacts: 'me@app.example' }, { contacts: undefined }, /contacts/],
  [{ software_id: 7, software_version: 1.2 }, { software_id: undefined }, /software_id.*software_version/],
  [{ grant_types: 'authorization_code' }, { grant_types: ['authorization_code'] }, /^$/],
  [{ response_types: 'code' }, { response_types: ['code'] }, /^$/],
  [
    { grant_types: 'authorization_code refresh_token' },
    { grant_types: ['authorization_code', 'refresh_token'] },
    /^$/
  ],
  [{ grant_types: [], response_types: [] }, { grant_types: ['authorization_code', 'refresh_token'] }, /^$/],
  [{ grant_types: [7, 'authorization_code', null] }, { grant_types: ['authorization_code'] }, /^$/],
  [{ grant_types: ['authorization_code', 'implicit'] }, { grant_types: ['authorization_code'] }, /^$/],
  [{ jwks: 'none', jwks_uri: 7 }, { jwks: undefined, jwks_uri: undefined }, /jwks_uri \(/],
  [{ token_endpoint_auth_methods_supported: 'none' }, { token_endpoint_auth_method: 'none' }, /methods_supported/],
  [
    { redirect_uris: [WEB_URI, 'unlisted-app://callback'] },
    { redirect_uris: [WEB_URI] },
    /^Not taken: .*has the scheme unlisted-app:, which is not allowed/
  ],
  [{ redirect_uris: ['javascript:alert(1)', 7, null, WEB_URI] }, { redirect_uris: [WEB_URI] }, /javascript/],
  [
    { token_endpoint_auth_method: 'tls_client_auth', token_endpoint_auth_methods_supported: ['self', 'none'] },
    { token_endpoint_auth_method: 'none' },
    /token_endpoint_auth_method \(none is used\)/
  ],
  [
    { token_endpoint_auth_method: 'private_key_jwt', token_endpoint_auth_methods_supported: ['none'] },
    { token_endpoint_auth_method: 'none' },
    /private_key_jwt \(private_key_jwt needs the public keys/
  ],
  [
    {
      token_endpoint_auth_method: 'private_key_jwt',
      token_endpoint_auth_methods_supported: ['none', 'private_key_jwt'],
      jwks_uri: 'http://169.254.169.254/jwks'
    },
    { token_endpoint_auth_method: 'none', jwks_uri: undefined },
    /jwks_uri must be an https URL/
  ],
  [
    {
      token_endpoint_auth_method: 'private_key_jwt',
      token_endpoint_auth_methods_supported: ['none', 'private_key_jwt'],
      jwks: { keys: [{ ...jwk, more: 1 }, { kty: 'oct' }, null] }
    },
    { token_endpoint_auth_method: 'private_key_jwt', jwks: { keys: [jwk] } },
    /^$/
  ],
  [{ unknown_member: { x: 1 } }, { unknown_member: undefined }, /^$/]
]

const MINIMAL = { client_name: 'App', redirect_uris: [WEB_URI], token_endpoint_auth_method: 'none' }

t.test('what is usable is taken', async t => {
  const target = await start(t)
  for (const [given, registered, expected] of TAKEN) {
    const what = JSON.stringify(given).slice(0, 120)
    const { status, body } = await askToRegister(target, { ...MINIMAL, ...given })
    t.equal(status, 201, what)
    for (const [member, value] of Object.entries(registered)) t.strictSame(body[member], value, `${what}: ${member}`)
    t.match(await told(target), expected, `${what}: what operators are told`)

    const { client } = await keyHost(t, { ...MINIMAL, jwks_uri: undefined, ...given })
    t.equal((await ask(target, authorizationUrl(target, client))).status, 200, `${what} in a document`)
    t.match(await told(target), expected, `${what}: what operators are told of the document`)
  }
})

const REFUSED: Array<[given: Record<string, unknown>, error: string]> = [
  [{ redirect_uris: ['unlisted-app://callback', 'javascript:x'] }, 'invalid_redirect_uri'],
  [{ redirect_uris: [] }, 'invalid_redirect_uri'],
  [{ redirect_uris: WEB_URI }, 'invalid_redirect_uri'],
  [{ client_name: 7 }, 'invalid_client_metadata'],
  [{ grant_types: ['implicit'] }, 'invalid_client_metadata'],
  [{ grant_types: 7 }, 'invalid_client_metadata'],
  [{ response_types: ['token'] }, 'invalid_client_metadata'],
  [{ token_endpoint_auth_method: 7 }, 'invalid_client_metadata'],
  [{ token_endpoint_auth_method: 'tls_client_auth' }, 'invalid_client_metadata'],
  [{ token_endpoint_auth_method: 'private_key_jwt' }, 'invalid_client_metadata'],
  [{ token_endpoint_auth_method: 'private_key_jwt', jwks: { keys: [] } }, 'invalid_client_metadata'],
  [{ token_endpoint_auth_method: 'private_key_jwt', jwks: { keys: [{ ...jwk, d: 'x' }] } }, 'invalid_client_metadata'],
  [
    { token_endpoint_auth_method: 'private_key_jwt', jwks: { keys: [jwk] }, jwks_uri: 'https://app.example/jwks' },
    'invalid_client_metadata'
  ],
  [
    { token_endpoint_auth_method: 'private_key_jwt', jwks_uri: 'http://app.example/jwks' },
    'invalid_client_metadata'
  ],
  [
    {
      token_endpoint_auth_method: 'private_key_jwt',
      jwks: { keys: [jwk] },
      token_endpoint_auth_signing_alg: 'HS256'
    },
    'invalid_client_metadata'
  ]
]

t.test('where nothing usable is left, or a member that we rely on is wrong, the client is refused', async t => {
  const target = await start(t)
  for (const [given, error] of REFUSED) {
    const what = JSON.stringify(given).slice(0, 120)
    const answer = await askToRegister(target, { ...MINIMAL, ...given })
    t.strictSame([answer.status, answer.error], [400, error], what)
    const { client } = await keyHost(t, { ...MINIMAL, jwks_uri: undefined, ...given })
    t.equal((await ask(target, authorizationUrl(target, client))).status, 400, `${what} in a document`)
  }
})
