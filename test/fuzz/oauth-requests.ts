import fc from 'fast-check'
import { ROUTES } from './routes.js'
import { method, near, token, type Header, type Honest, type LoginStep, type RequestStep, type Step } from './steps.js'
import { asText, change, changed, oddText } from './values.js'

type Fields = Readonly<Record<string, string>>

const host: Header = ['host', '{{host}}']
const form: readonly Header[] = [host, ['content-type', 'application/x-www-form-urlencoded']]
const browser: readonly Header[] = [host, ['cookie', '{{cookie}}'], ['accept', 'text/html']]
const ownForm: readonly Header[] = [
  ...browser,
  ['origin', '{{origin}}'],
  ['content-type', 'application/x-www-form-urlencoded']
]

/** Words in braces stay as they are. */
const encoded = (text: string) =>
  text
    .split(/(\{\{[^{}]*\}\})/)
    .map((part, index) => (index % 2 === 1 ? part : encodeURIComponent(Buffer.from(part).toString())))
    .join('')

/** A form with its fields, some of them changed, missing, doubled or odd. */
function formOf (fields: Fields): fc.Arbitrary<string> {
  const names = Object.keys(fields)
  const off = fc.oneof(
    { arbitrary: fc.constant([]), weight: 3 },
    {
      arbitrary: fc.array(
        fc.tuple(
          fc.constantFrom(...names, '__proto__', 'constructor', 'x', 'client_id', 'resource', 'scope'),
          fc.option(oddText),
          fc.boolean()
        ),
        { minLength: 1, maxLength: 3 }
      ),
      weight: 2
    }
  )
  return fc
    .tuple(off, fc.constantFrom('', '', '', '', '&', '&=&', '&a', '&%zz=%ff', '&a[b]=c', ';x=1'))
    .map(([off, tail]) => {
      let pairs = Object.entries(fields)
      for (const [name, value, doubles] of off) {
        pairs = [
          ...pairs.filter(([other]) => doubles || other !== name),
          ...(value === null ? [] : [[name, value] as [string, string]])
        ]
      }
      return pairs.map(([name, value]) => `${encoded(name)}=${encoded(value)}`).join('&') + tail
    })
}

const CHALLENGE = 'JBbiqONGWPaAmwXk_8bT6UnlPfrn65D32eZlJS-zGG0'
const VERIFIER = 'dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXkx'
const authorization = {
  response_type: 'code',
  client_id: '{{client}}',
  redirect_uri: '{{redirect}}',
  state: 'state-<fuzz-x>',
  code_challenge: CHALLENGE,
  code_challenge_method: 'S256',
  resource: '{{resource}}',
  scope: 'mcp'
}
const authorizations = fc.constantFrom<Fields>(
  authorization,
  authorization,
  { ...authorization, client_id: 'https://127.0.0.1:9/client.json', redirect_uri: 'https://127.0.0.1:9/cb' },
  { ...authorization, client_id: '{{last:client}}' },
  { ...authorization, client_id: 'connected-apps' },
  { ...authorization, prompt: 'none' },
  { ...authorization, response_mode: 'form_post' },
  { ...authorization, request: 'a.b.c' }
)
const authorize = authorizations
  .chain(formOf)
  .chain(query =>
    fc.constantFrom<Honest>(
      { method: 'GET', target: `/authorize?${query}`, headers: browser },
      { method: 'GET', target: `/authorize?${query}`, headers: browser },
      { method: 'POST', target: '/authorize', headers: ownForm, body: query }
    )
  )
const consent = formOf({ transaction: '{{last:transaction}}', decision: 'allow', remember: 'yes' }).map(
  (body): Honest => ({ method: 'POST', target: '/authorize/consent', headers: ownForm, body })
)
const callback = fc
  .constantFrom(
    '{{last:callback}}',
    '{{last:callback}}',
    '{{last:callback}}',
    '/oauth/callback?code=x&state=y',
    '/oauth/callback?error=access_denied&state={{last:state}}',
    '{{last:callback}}&iss=https://evil.example',
    '{{last:callback}}&code=x',
    '/oauth/callback?code=x&state={{last:state}}',
    '/oauth/callback',
    '/oauth/callback?state={{last:state}}&error=<fuzz-x>&error_description=%00',
    '/oauth/callback?state={{long:5000}}'
  )
  .map((target): Honest => ({ method: 'GET', target, headers: browser }))

const credentials = { client_id: '{{client}}' }
const redeemed = {
  grant_type: 'authorization_code',
  code: '{{last:code}}',
  redirect_uri: '{{redirect}}',
  code_verifier: VERIFIER,
  resource: '{{resource}}',
  ...credentials
}
const tokenForms = fc.constantFrom<Fields>(
  redeemed,
  redeemed,
  { ...redeemed, client_id: '{{last:client}}' },
  { grant_type: 'refresh_token', refresh_token: '{{last:refresh}}', ...credentials },
  { grant_type: 'refresh_token', refresh_token: '{{token:bobRefresh}}', ...credentials },
  { grant_type: 'client_credentials', ...credentials },
  { grant_type: 'refresh_token', refresh_token: 'x', client_id: 'https://127.0.0.1:9/client.json' },
  { grant_type: 'refresh_token', refresh_token: 'x', client_id: '{{secretClient}}', client_secret: '{{secret}}' },
  {
    ...redeemed,
    client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
    client_assertion: 'eyJhbGciOiJub25lIn0.e30.'
  }
)
const posted =
  (target: string, headers: readonly Header[] = form) =>
    (body: string): Honest => ({ method: 'POST', target, headers, body })
const tokens = tokenForms.chain(formOf).map(posted('/token'))
const revocation = fc
  .constantFrom<Fields>(
    { token: '{{last:access}}', ...credentials },
    { token: '{{last:refresh}}', ...credentials },
    { token: '{{token:bob}}', ...credentials },
    { token: 'x', token_type_hint: 'x', client_id: '{{secretClient}}', client_secret: '{{secret}}' }
  )
  .chain(formOf)
  .map(posted('/revoke'))
const introspection = fc
  .constantFrom<Fields>({ token: '{{token:alice}}' }, { token: '{{token:expired}}' }, { token: 'x' })
  .chain(formOf)
  .chain(body =>
    fc.constantFrom<Honest>(
      posted('/introspect', [...form, ['authorization', 'Basic {{service}}']])(body),
      posted('/introspect', [...form, ['authorization', 'Basic {{basic}}']])(body),
      posted('/introspect')(body)
    )
  )

const metadata = fc.constantFrom<Record<string, unknown>>(
  {
    client_name: 'Fuzz <fuzz-x>',
    redirect_uris: ['http://localhost:3334/callback'],
    token_endpoint_auth_method: 'none',
    grant_types: ['authorization_code', 'refresh_token'],
    response_types: ['code']
  },
  {
    client_name: 'Fuzz',
    redirect_uris: ['https://app.example/cb', 'cursor://x/y'],
    logo_uri: 'https://evil.example/<fuzz-x>.png',
    client_uri: 'https://app.example',
    contacts: ['x'],
    scope: 'mcp'
  },
  { redirect_uris: ['javascript:alert(1)'] },
  { redirect_uris: [] },
  { client_name: 'no redirect URIs' },
  { client_name: '\u202e', redirect_uris: ['http://127.0.0.1/x'], jwks: { keys: [] }, jwks_uri: 'http://127.0.0.1:9/' }
)
const registration = fc
  .tuple(metadata, fc.array(change, { maxLength: 3 }), asText)
  .map(([value, changes, asText]): Honest => ({
    method: 'POST',
    target: '/register',
    headers: [host, ['content-type', 'application/json']],
    body: asText(changed(value, changes))
  }))
const connections = fc.constantFrom<Honest>(
  { method: 'GET', target: '/oauth/connections', headers: browser },
  { method: 'GET', target: '/oauth/connections?ended=1&ended=2', headers: browser },
  { method: 'GET', target: '/oauth/connections/login', headers: browser },
  { method: 'GET', target: '{{last:callback}}', headers: browser },
  { method: 'GET', target: '/oauth/connections/callback?code=x&state=y', headers: browser },
  { method: 'POST', target: '/oauth/connections/end', headers: ownForm, body: 'grant=x' },
  { method: 'POST', target: '/oauth/connections/end', headers: ownForm, body: 'grant={{last:grant}}' },
  { method: 'POST', target: '/oauth/connections/logout', headers: ownForm, body: '' },
  { method: 'GET', target: '/admin/attempts', headers: [host, ['authorization', 'Bearer {{admin}}']] },
  {
    method: 'GET',
    target: '/admin/attempts',
    headers: [host, ['authorization', 'Basic {{basic}}'], ['accept', 'application/json']]
  },
  { method: 'GET', target: '/metrics', headers: [host, ['authorization', 'Bearer {{metrics}}']] }
)

/** One request to the authorization server and its pages. */
export const oauthRequest: fc.Arbitrary<RequestStep> = near(
  fc.oneof(
    { arbitrary: authorize, weight: 4 },
    { arbitrary: consent, weight: 1 },
    { arbitrary: callback, weight: 1 },
    { arbitrary: tokens, weight: 4 },
    { arbitrary: revocation, weight: 1 },
    { arbitrary: introspection, weight: 1 },
    { arbitrary: registration, weight: 2 },
    { arbitrary: connections, weight: 2 }
  )
)

const login: fc.Arbitrary<LoginStep> = fc.constantFrom({ login: 'alice' }, { login: 'mallory' }, { login: '<fuzz-x>' })
/** A login from registration to revocation, which is tampered with on the way. */
export const oauthLogin: fc.Arbitrary<Step[]> = fc
  .tuple(
    fc.option(near(registration)),
    near(authorize),
    near(consent),
    login,
    near(callback),
    fc.option(near(callback)),
    near(tokens),
    fc.array(near(fc.oneof(tokens, revocation)), { maxLength: 2 })
  )
  .map(steps => steps.flat().filter(step => step !== null))

/** A person looks at their connected applications. */
export const connectionsVisit: fc.Arbitrary<Step[]> = fc
  .tuple(
    near(fc.constant<Honest>({ method: 'GET', target: '/oauth/connections/login', headers: browser })),
    login,
    fc.array(near(connections), { maxLength: 4 })
  )
  .map(steps => steps.flat())

const target = fc.oneof(
  { arbitrary: fc.constantFrom(...ROUTES.map(({ path }) => path)), weight: 6 },
  {
    arbitrary: fc
      .constantFrom(...ROUTES.map(({ path }) => path))
      .chain(path =>
        fc.constantFrom(
          `${path}/`,
          `${path}?`,
          `${path}?x=%zz`,
          `${path}//`,
          path.toUpperCase(),
          `${path}%2f`,
          `/%6dcp${path}`,
          `${path}/x`,
          `${path};x`,
          `${path}?__proto__=1`,
          `/.${path}`,
          `${path}?a=1&a=2`
        )
      ),
    weight: 3
  },
  {
    arbitrary: fc.constantFrom(
      '*',
      '/%',
      '//',
      '/{{long:9000}}',
      '/..',
      '/\u00ff',
      'http://evil.example/mcp',
      '/favicon.ico',
      '/%6dcp',
      '/mcp%00',
      '/.well-known/x',
      '/?'
    ),
    weight: 1
  }
)
/** Any method at any path. */
export const anyRequest: fc.Arbitrary<RequestStep> = near(
  fc
    .record({
      method,
      target,
      headers: fc
        .option(token)
        .map((token): readonly Header[] => [host, ...(token === null ? [] : [['authorization', token] as const])]),
      body: fc.constantFrom('', '', '{}', 'a=b')
    })
    .map(({ body, ...rest }) => (body === '' ? rest : { ...rest, body }))
)
