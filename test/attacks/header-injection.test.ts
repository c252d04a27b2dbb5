import type { LightMyRequestResponse } from 'fastify'
import t, { type Test } from 'tap'
import { logIn } from '../support/browser.js'
import { textAt } from '../support/json.js'
import { startService } from '../support/service.js'
import {
  ask,
  askToRegister,
  authorizationUrl,
  form,
  isAt,
  LOOPBACK_URI,
  newCode,
  newTokens,
  openBrowser,
  register,
  VERIFIER,
  WEB_URI,
  type Parameters
} from '../support/oauth-flow.js'
import { agree, injectForm, type Target } from '../support/target.js'

/** What could end a header, begin another, or stop the server from writing one. */
const NOISE = [
  'x\r\nX-Injected: 1',
  'x\nX-Injected: 1',
  'x\rX-Injected: 1',
  'x\r\n\r\n<h1>injected</h1>',
  '\r\nSet-Cookie: mcp-browser=injected',
  '\r\n\tX-Injected: 1',
  'x\u0000y',
  'x\u0001\u001f\u007fy',
  // these become CR and LF where only the low byte is written
  'x\u560d\u560aX-Injected: 1',
  'x\u010d\u010aX-Injected: 1',
  'x\u0085\u2028\u2029X-Injected: 1',
  '%0d%0aX-Injected: 1',
  '%250d%250aX-Injected: 1',
  'x"\\,; X-Injected=1',
  '\ufeff\u202e\ud83d\ude00',
  'é'
]

/** Headers that this service may answer with; anything else was injected. */
const HEADERS =
  /^(content-(type|length|security-policy)|date|connection|keep-alive|cache-control|location|set-cookie|vary|allow|www-authenticate|retry-after|mcp-session-id|x-request-id|(x-)?ratelimit-[a-z]+|x-frame-options|x-content-type-options|referrer-policy|strict-transport-security|access-control-[a-z-]+|transfer-encoding|cross-origin-[a-z-]+|permissions-policy)$/
const COOKIE = /^mcp-browser=[\w~:.%-]+; Max-Age=\d+; Path=\/; HttpOnly; SameSite=Lax$/

interface HeaderAnswer { status: number, headers: Headers, text: string }

function faultsOf ({ status, headers, text }: HeaderAnswer): string[] {
  return [
    ...status >= 500 ? [`status ${status}`] : [],
    ...[...headers].filter(([name]) => !HEADERS.test(name)).map(([name]) => `header ${name}`),
    ...[...headers].filter(([, value]) => /[^\x20-\x7e\x80-\xff]/.test(value)).map(([name]) => `value of ${name}`),
    ...headers.getSetCookie().filter(cookie => !COOKIE.test(cookie)).map(() => 'cookie'),
    ...text.startsWith('<h1>injected') ? ['body'] : []
  ]
}

function injected ({ statusCode, headers, body }: LightMyRequestResponse): HeaderAnswer {
  const all = new Headers()
  for (const [name, value] of Object.entries(headers)) for (const one of [value].flat()) all.append(name, String(one))
  return { status: statusCode, headers: all, text: body }
}

// TAP would read some of it
const shown = (noise: string) => encodeURIComponent(noise).slice(0, 30)

/** Asserts that none of these answers has a fault; each is named by what was asked. */
async function areSound (
  t: Test,
  noise: string,
  answers: Iterable<[string, Promise<HeaderAnswer | LightMyRequestResponse>]>
): Promise<void> {
  const faults: string[] = []
  let count = 0
  for (const [what, promise] of answers) {
    const answer = await promise
    count++
    for (const fault of faultsOf('statusCode' in answer ? injected(answer) : answer)) {
      faults.push(`${shown(what)}: ${fault}`)
    }
  }
  t.strictSame(faults, [], `${shown(noise)}: ${count} answers are sound`)
}

t.test('in client metadata', async t => {
  const target = await startService(t)
  const members = [
    'client_name',
    'client_uri',
    'logo_uri',
    'tos_uri',
    'policy_uri',
    'scope',
    'software_id',
    'software_version',
    'token_endpoint_auth_method',
    'application_type',
    'contacts',
    'grant_types',
    'response_types',
    'redirect_uris'
  ]
  for (const [index, noise] of NOISE.entries()) {
    const answers: Array<[string, Promise<LightMyRequestResponse>]> = []
    for (const member of members) {
      const value = member.endsWith('_uri')
        ? `https://app.example/${noise}`
        : member === 'redirect_uris'
          ? [`${WEB_URI}${noise}`]
          : /s$/.test(member)
            ? [noise]
            : noise
      const registration = await target.app.inject({
        method: 'POST',
        url: '/register',
        remoteAddress: `192.0.2.${index}`,
        payload: { redirect_uris: [WEB_URI], token_endpoint_auth_method: 'none', [member]: value }
      })
      answers.push([member, Promise.resolve(registration)])
      if (registration.statusCode !== 201) continue
      const { pathname, search } = authorizationUrl(target, {
        clientId: textAt(registration.json(), 'client_id'),
        redirectUri: WEB_URI
      })
      answers.push([`the consent page for ${member}`, target.app.inject({ url: pathname + search })])
    }
    await areSound(t, noise, answers)
  }
})

t.test('in the address of a logo: none is loaded, and none stands in the content security policy', async t => {
  const target = await startService(t)
  for (
    const host of [
      'logo.example',
      'logo.example;sandbox',
      'logo.example,evil',
      "'unsafe-inline'",
      '*',
      "'self'",
      'logo.example:443;sandbox',
      '"',
      '`'
    ]
  ) {
    const policy = await policyOf(target, `https://${host}/a.png`)
    if (policy !== undefined) {
      t.match(
        policy,
        /^default-src 'none'; style-src 'sha256-[\w+/=]+'; img-src 'none'; base-uri 'none'; frame-ancestors 'none'$/,
        host
      )
    }
  }
})

async function policyOf (target: Target, logo: string): Promise<string | undefined> {
  const registration = await askToRegister(target, {
    redirect_uris: [WEB_URI],
    token_endpoint_auth_method: 'none',
    logo_uri: logo
  })
  const clientId = registration.member('client_id')
  if (clientId === undefined) return undefined
  return (await ask(target, authorizationUrl(target, { clientId, redirectUri: WEB_URI }))).headers.get(
    'content-security-policy'
  ) ?? undefined
}

t.test('in the parameters of an authorization request', async t => {
  const target = await startService(t)
  const clients = [await register(target), await register(target, WEB_URI)]
  for (const noise of NOISE) {
    const answers: Array<[string, Promise<HeaderAnswer | LightMyRequestResponse>]> = []
    for (const client of clients) {
      const { searchParams } = authorizationUrl(target, client)
      for (
        const name of [
          'client_id',
          'redirect_uri',
          'response_type',
          'response_mode',
          'state',
          'scope',
          'resource',
          'code_challenge',
          'code_challenge_method',
          'request',
          'prompt',
          noise
        ]
      ) {
        const { pathname, search } = authorizationUrl(target, client, {
          [name]: `${searchParams.get(name) ?? ''}${noise}`
        })
        answers.push([name, target.app.inject({ url: pathname + search })])
      }
      // on the wire, in an error that is redirected or linked
      answers.push([
        'the state of an error',
        ask(target, authorizationUrl(target, client, { state: noise, response_type: noise }))
      ])
    }
    await areSound(t, noise, answers)
  }
  const malformed = `/authorize?client_id=${
    clients[0]?.clientId
  }&redirect_uri=${LOOPBACK_URI}&response_type=x&state=%ff%fe%0d%0a%E0%A4%A&%=%&&=`
  await areSound(t, 'malformed escapes', [['inject', target.app.inject({ url: malformed })], [
    'fetch',
    ask(target, target.url + malformed)
  ]])
})

t.test('in the state, on its way through the upstream and back', async t => {
  const target = await startService(t)
  const client = await register(target, WEB_URI)
  const browser = openBrowser(target)
  for (const noise of NOISE.slice(0, 9)) {
    const end = await logIn(browser, authorizationUrl(target, client, { state: noise }))
    t.ok(isAt(end, WEB_URI) && end.url.searchParams.get('code') !== null, shown(noise))
    t.equal(end.url.searchParams.get('state'), noise, 'it comes back as it went')
    t.strictSame(faultsOf({ ...end, text: end.html }), [])
  }
})

t.test('in an answer of the upstream', async t => {
  const target = await startService(t)
  const client = await register(target)
  for (const noise of NOISE) {
    const answers: Array<[string, Promise<LightMyRequestResponse>]> = []
    const told: boolean[] = []
    for (
      const parameters of [
        { error: noise },
        { error: 'access_denied', error_description: noise, error_uri: noise },
        { code: noise },
        { code: 'x', iss: noise },
        { error: 'x', [noise]: noise }
      ]
    ) {
      const { cookie, state } = await agree(target, client)
      const answer = await target.app.inject({
        url: `/oauth/callback?${form({ iss: target.upstream.issuer, ...parameters, state })}`,
        headers: { cookie }
      })
      answers.push([Object.keys(parameters).join(), Promise.resolve(answer)])
      const location = answer.headers.location ?? ''
      told.push(location.startsWith(`${LOOPBACK_URI}?error=`) && !decodeURIComponent(location).includes('X-Injected'))
    }
    answers.push([
      'an unknown state',
      target.app.inject({ url: `/oauth/callback?${form({ state: noise, code: noise })}` })
    ])
    await areSound(t, noise, answers)
    t.ok(told.every(Boolean), 'the client is told, but not with the upstream\'s words')
  }
})

t.test('in requests of the client', async t => {
  const target = await startService(t)
  const client = await register(target)
  const { clientId } = client
  const [code, { refreshToken }] = [await newCode(target, client), await newTokens(target, client)]
  const token = (parameters: Parameters) => injectForm(target, '/token', { client_id: clientId, ...parameters })
  for (const noise of NOISE) {
    const redemption: Parameters = {
      grant_type: 'authorization_code',
      code,
      code_verifier: VERIFIER,
      redirect_uri: LOOPBACK_URI
    }
    const refreshing: Parameters = { grant_type: 'refresh_token', refresh_token: refreshToken }
    const answers: Array<[string, Promise<LightMyRequestResponse>]> = [
      ['revocation', injectForm(target, '/revoke', { client_id: clientId, token: noise, token_type_hint: noise })],
      ['consent', injectForm(target, '/authorize/consent', { transaction: noise, decision: 'allow', remember: noise })],
      ['another parameter', token({ [noise]: noise })],
      [
        'Basic',
        injectForm(target, '/token', refreshing, {
          authorization: `Basic ${Buffer.from(`${noise}:${noise}`).toString('base64')}`
        })
      ]
    ]
    for (const name of ['client_id', 'code', 'code_verifier', 'redirect_uri', 'resource', 'grant_type']) {
      answers.push([name, token({ ...redemption, [name]: noise })])
    }
    for (const name of ['refresh_token', 'scope', 'resource']) {
      answers.push([`${name} (refresh)`, token({ ...refreshing, [name]: noise })])
    }
    await areSound(t, noise, answers)
  }
})

t.test('in headers of a request', async t => {
  const target = await startService(t)
  const { clientId } = await register(target)
  const { pathname, search } = authorizationUrl(target, { clientId, redirectUri: LOOPBACK_URI })
  for (const noise of ['%0d%0aX-Injected: 1', 'x"\\,; X-Injected=1', '\u00e9\u00ff', '\t', "'\"><"]) {
    const answers: Array<[string, Promise<LightMyRequestResponse>]> = []
    for (const authorization of [`Bearer ${noise}`, `Bearer x, realm="${noise}"`, `Basic ${noise}`, noise]) {
      answers.push([authorization, target.app.inject({ method: 'POST', url: '/mcp', headers: { authorization } })], [
        authorization,
        target.app.inject({ method: 'POST', url: '/token', headers: { authorization } })
      ])
    }
    for (
      const name of [
        'origin',
        'host',
        'mcp-session-id',
        'mcp-protocol-version',
        'last-event-id',
        'x-forwarded-host',
        'x-forwarded-proto',
        'access-control-request-headers',
        'access-control-request-method',
        'x-request-id',
        'traceparent',
        'cookie'
      ]
    ) {
      const headers = { origin: 'https://app.example', [name]: name === 'cookie' ? `mcp-browser=${noise}` : noise }
      answers.push([name, target.app.inject({ method: 'POST', url: '/mcp', headers })], [
        name,
        target.app.inject({ url: pathname + search, headers })
      ], [
        name,
        target.app.inject({
          method: 'OPTIONS',
          url: '/token',
          headers: { 'access-control-request-method': 'POST', ...headers }
        })
      ])
    }
    await areSound(t, noise, answers)
  }
})
