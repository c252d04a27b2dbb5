import t, { type Test } from 'tap'
import { logIn } from '../browser.js'
import { startService } from '../service.js'
import { ask, askToRegister, authorizationUrl, callMcp, form, isAt, LOOPBACK_URI, newCode, newTokens, openBrowser, post, redeem, refresh, register, revoke, WEB_URI, type Answer, type Target } from './flow.js'

/** What could end a header, begin another, or stop the server from writing one. */
const NOISE = [
  'x\r\nX-Injected: 1', 'x\nX-Injected: 1', 'x\rX-Injected: 1', 'x\r\n\r\n<h1>injected</h1>', '\r\nSet-Cookie: mcp-browser=injected', '\r\n\tX-Injected: 1', 'x\u0000y', 'x\u0001\u001f\u007fy',
  // these become CR and LF where only the low byte is written
  'x\u560d\u560aX-Injected: 1', 'x\u010d\u010aX-Injected: 1', 'x\u0085\u2028\u2029X-Injected: 1', '%0d%0aX-Injected: 1', '%250d%250aX-Injected: 1', 'x"\\,; X-Injected=1', '\ufeff\u202e\ud83d\ude00', 'é'
]

/** Headers that this service may answer with; anything else was injected. */
const HEADERS = /^(content-(type|length|security-policy)|date|connection|keep-alive|cache-control|location|set-cookie|vary|allow|www-authenticate|retry-after|mcp-session-id|(x-)?ratelimit-[a-z]+|x-frame-options|x-content-type-options|referrer-policy|strict-transport-security|access-control-[a-z-]+|transfer-encoding|cross-origin-[a-z-]+|permissions-policy)$/

function isSound (t: Test, { status, headers, text = '' }: { status: number, headers: Headers, text?: string }, what: string): void {
  const faults = [...headers].filter(([name, value]) => !HEADERS.test(name) || /[^\x20-\x7e\x80-\xff]/.test(value)).map(([name]) => name)
  const cookies = headers.getSetCookie().filter(cookie => !/^mcp-browser=[\w~:.%-]+; Max-Age=\d+; Path=\/; HttpOnly; SameSite=Lax$/.test(cookie))
  t.strictSame({ status: status < 500, faults, cookies, body: text.startsWith('<h1>injected') }, { status: true, faults: [], cookies: [], body: false }, `${what} (${status})`)
}

const shown = (noise: string) => encodeURIComponent(noise).slice(0, 30)

t.test('in client metadata', async t => {
  const target = await startService(t)
  const members = ['client_name', 'client_uri', 'logo_uri', 'tos_uri', 'policy_uri', 'scope', 'software_id', 'software_version', 'token_endpoint_auth_method', 'application_type', 'contacts', 'grant_types', 'response_types', 'redirect_uris']
  for (const noise of NOISE) {
    for (const member of members) {
      const value = member.endsWith('_uri') ? `https://app.example/${noise}` : member === 'redirect_uris' ? [`${WEB_URI}${noise}`] : /s$/.test(member) ? [noise] : noise
      const answer = await target.app.inject({
        method: 'POST', url: '/register', remoteAddress: addressOf(member), payload: { redirect_uris: [WEB_URI], token_endpoint_auth_method: 'none', [member]: value }
      })
      isSound(t, { status: answer.statusCode, headers: new Headers(Object.entries(answer.headers).map(([name, value]) => [name, String(value)])) }, `${member} ${shown(noise)}`)
      if (answer.statusCode !== 201) continue
      const client = { clientId: String(answer.json().client_id), redirectUri: WEB_URI }
      isSound(t, await ask(authorizationUrl(target, client)), 'its consent page')
    }
  }
})

// the addresses share the limit of registrations
const addressOf = (text: string) => `192.0.2.${text.length}`

t.test('in the address of the logo, which stands in the content security policy', async t => {
  const target = await startService(t)
  const plain = await policyOf(target, 'https://logo.example/a.png')
  t.match(plain, /; img-src https:\/\/logo\.example; /)
  for (const host of ['logo.example;sandbox', 'logo.example;form-action', 'a;upgrade-insecure-requests;b', 'logo.example,evil', "'unsafe-inline'", '*', '*.example', "'self'", 'a&b', 'a{b}', 'logo.example:443;sandbox', '"', '`']) {
    const policy = await policyOf(target, `https://${host}/a.png`)
    t.ok(policy === undefined || directives(policy) === directives(plain ?? ''), host)
    t.notMatch(policy, /img-src [^;]*['*,]/)
  }
  const inPath = await policyOf(target, 'https://logo.example/;sandbox/,default-src *')
  t.equal(inPath, plain, 'of which there is only the origin')
})

const directives = (policy: string) => policy.split(';').map(directive => directive.trim().split(' ')[0]).join()

async function policyOf (target: Target, logo: string): Promise<string | undefined> {
  const registration = await askToRegister(target, { redirect_uris: [WEB_URI], token_endpoint_auth_method: 'none', logo_uri: logo })
  const clientId = registration.member('client_id')
  if (clientId === undefined) return undefined
  return (await ask(authorizationUrl(target, { clientId, redirectUri: WEB_URI }))).headers.get('content-security-policy') ?? undefined
}

t.test('in the parameters of an authorization request', async t => {
  const target = await startService(t)
  const [client, web] = [await register(target), await register(target, WEB_URI)]
  for (const noise of NOISE) {
    for (const name of ['client_id', 'redirect_uri', 'response_type', 'response_mode', 'state', 'scope', 'resource', 'code_challenge', 'code_challenge_method', 'request', 'prompt', 'nonce', 'login_hint', noise]) {
      for (const asking of [client, web]) {
        for (const value of [noise, `${authorizationUrl(target, asking).searchParams.get(name) ?? ''}${noise}`]) {
          isSound(t, await ask(authorizationUrl(target, asking, { [name]: value })), `${shown(name)} ${shown(noise)}`)
        }
      }
    }
    // raw bytes, as no URL class would write them
    isSound(t, await ask(`${target.url}/authorize?client_id=${client.clientId}&redirect_uri=${LOOPBACK_URI}&response_type=x&state=%ff%fe%0d%0a%E0%A4%A&%=%&&=`), 'malformed escapes')
  }
})

t.test('in the state, on its way through the upstream and back', async t => {
  const target = await startService(t)
  const client = await register(target, WEB_URI)
  for (const noise of NOISE.slice(0, 9)) {
    const end = await logIn(openBrowser(target), authorizationUrl(target, client, { state: noise }))
    t.ok(isAt(end, WEB_URI))
    t.equal(end.url.searchParams.get('state'), noise, 'it comes back as it went')
    t.ok(end.url.searchParams.get('code'))
    isSound(t, end, shown(noise))
  }
})

t.test('in an answer of the upstream', async t => {
  const target = await startService(t)
  const client = await register(target)
  for (const noise of NOISE) {
    for (const parameters of [{ error: noise }, { error: 'access_denied', error_description: noise }, { error: 'x', error_uri: noise }, { code: noise }, { code: 'x', iss: noise }, { error: 'x', [noise]: noise }, { code: 'x', session_state: noise, id_token: noise }]) {
      const browser = openBrowser(target)
      await browser.submit(await browser.open(authorizationUrl(target, client)), {}, 'Allow access')
      const state = browser.visited.find(url => url.href.startsWith(`${target.upstream.issuer}/auth?`))?.searchParams.get('state') ?? ''
      const end = await browser.open(`${target.url}/oauth/callback?${form({ iss: target.upstream.issuer, ...parameters, state })}`)
      t.ok(isAt(end, LOOPBACK_URI), 'the client is told')
      t.notMatch(decodeURIComponent(end.url.search), 'X-Injected', 'but not with the upstream\'s words')
      isSound(t, end, `${Object.keys(parameters).map(shown)} ${shown(noise)}`)
    }
    isSound(t, await ask(`${target.url}/oauth/callback?${form({ state: noise, code: noise })}`), 'an unknown state')
  }
})

t.test('in requests of the client', async t => {
  const target = await startService(t)
  const client = await register(target)
  const code = await newCode(target, client)
  const { refreshToken } = await newTokens(target, client)
  for (const noise of NOISE) {
    const answers: Record<string, Promise<Answer>> = {
      revoke: revoke(target, client, noise, { token_type_hint: noise }),
      'the consent': post(target, '/authorize/consent', { transaction: noise, decision: 'allow', remember: noise }),
      'another parameter': post(target, '/token', { [noise]: noise }),
      'the credentials': post(target, '/token', { grant_type: 'refresh_token', refresh_token: refreshToken }, { authorization: `Basic ${Buffer.from(`${noise}:${noise}`).toString('base64')}` })
    }
    for (const name of ['code', 'code_verifier', 'redirect_uri', 'resource', 'client_id', 'client_secret', 'grant_type']) answers[name] = redeem(target, client, name === 'code' ? noise : code, { [name]: noise, ...name !== 'code_verifier' && { code_verifier: 'x'.repeat(43) } })
    for (const name of ['refresh_token', 'scope', 'resource']) answers[`${name} (refresh)`] = refresh(target, client, refreshToken, { [name]: noise, ...name === 'refresh_token' ? {} : { client_id: 'x' } })
    for (const [what, answer] of Object.entries(answers)) isSound(t, await answer, `${what} ${shown(noise)}`)
  }
  // what may stand in a header of a request
  for (const noise of ['%0d%0aX-Injected: 1', 'x"\\,; X-Injected=1', '\u00e9\u00ff', '\t', "'\"><"]) {
    isSound(t, await callMcp(target, { authorization: `Bearer ${noise}` }), 'authorization')
    isSound(t, await callMcp(target, { authorization: `Bearer x, realm="${noise}"` }), 'authorization')
    for (const name of ['origin', 'mcp-session-id', 'mcp-protocol-version', 'last-event-id', 'x-forwarded-host', 'x-forwarded-proto', 'access-control-request-headers', 'x-request-id', 'traceparent', 'cookie']) {
      isSound(t, await callMcp(target, { [name]: noise }), name)
      isSound(t, await ask(authorizationUrl(target, client), { headers: { [name]: name === 'cookie' ? `mcp-browser=${noise}` : noise } }), `${name} of a browser`)
      isSound(t, await ask(`${target.url}/token`, { method: 'OPTIONS', headers: { origin: 'https://app.example', 'access-control-request-method': 'POST', [name]: noise } }), `${name} of a preflight`)
    }
  }
})
