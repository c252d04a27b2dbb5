import t from 'tap'
import {
  askToRegister,
  authorizationUrl,
  isAt,
  openBrowser,
  register,
  WEB_URI,
  type Client
} from '../support/oauth-flow.js'
import { startTarget } from '../support/target.js'

/** None of these may be registered. */
const UNREGISTRABLE = [
  // code in the page that follows it, or no place at all
  'javascript:alert(1)',
  'JavaScript:alert(1)',
  'javascript://app.example/%0aalert(1)',
  'data:text/html,<script>1</script>',
  'data:text/html;base64,PHNjcmlwdD4=',
  'vbscript:x',
  'file:///etc/passwd',
  'blob:https://app.example/1',
  'about:blank',
  'view-source:https://app.example/',
  'ws://app.example/',
  'ftp://app.example/',
  'mailto:a@app.example',
  'unknown-scheme://callback',
  'urn:ietf:wg:oauth:2.0:oob',
  'intent://app.example/#Intent;scheme=https;end',
  // not absolute, or not a URI
  '',
  ' ',
  '/callback',
  '//app.example/callback',
  'app.example/callback',
  'https:',
  'https://',
  'https:///',
  '*',
  'https://*.app.example/callback',
  'https://*/callback',
  // what a parser would mend
  'https:app.example/callback',
  'https:/app.example/callback',
  'https:///app.example/callback',
  'https:\\\\app.example\\callback',
  'https://app.example\\callback',
  'https://app.example\\@evil.example/',
  ' https://app.example/callback',
  'https://app.example/callback ',
  'https://app.example/call back',
  'https://app.exa\tmple/callback',
  'https://app.example/callback\n',
  'https://app.example/\r\nSet-Cookie:a=b',
  'https://app.example/\u0000',
  'https://%61pp.example/callback',
  'https://app%2eexample/callback',
  'https://app\u3002example/callback',
  'https://\u0430pp.example/callback',
  'https://app.example:/callback',
  'https://app.example:99999/callback',
  'https://app.example:443:80/callback',
  'https://a;b/callback',
  'https://a,b/callback',
  "https://a'b/callback",
  // user information, fragments, dots
  'https://app.example@evil.example/callback',
  'https://app.example:pass@evil.example/callback',
  'https://@evil.example/callback',
  'https://localhost@evil.example/callback',
  'http://localhost:3334@evil.example/callback',
  'http://localhost%40evil.example/callback',
  'cursor://user@callback',
  'cursor://user:pass@callback/',
  'https://app.example/callback#fragment',
  'https://app.example/callback#',
  'https://app.example/a/../callback',
  'https://app.example/./callback',
  'https://app.example/..',
  'https://app.example/%2e%2e/callback',
  'https://app.example/a/%2E%2E%2Fcallback',
  'https://app.example/.%2e/callback',
  // http where it is not for this machine, and what only looks so
  'http://app.example/callback',
  'http://localhost.evil.example/callback',
  'http://evil.example/localhost',
  'http://127.0.0.1.nip.io/callback',
  'http://127.0.0.1.evil.example/callback',
  'http://localhost./callback',
  'http://localhostevil/callback',
  'http://127.1/callback',
  'http://127.0.1/callback',
  'http://0x7f000001/callback',
  'http://0x7f.0.0.1/callback',
  'http://0177.0.0.1/callback',
  'http://2130706433/callback',
  'http://127.0.0.1./callback',
  'http://0/callback',
  'http://0.0.0.0/callback',
  'http://[::ffff:127.0.0.1]/callback',
  'http://[::ffff:7f00:1]/callback',
  'http://[0:0:0:0:0:0:0:1]/callback',
  'http://[::]/callback',
  'http://[::1%25lo]/callback',
  'http://10.0.0.1/callback',
  'http://169.254.169.254/callback',
  'http:localhost/callback',
  'http:///localhost/callback',
  `https://app.example/${'a'.repeat(2048)}`
]

t.test('no client registers a URI that could lead elsewhere than it reads', async t => {
  const target = await startTarget(t)
  for (const uri of UNREGISTRABLE) {
    const { status, error } = await askToRegister(target, { redirect_uris: [uri] })
    t.strictSame([status, error], [400, 'invalid_redirect_uri'], JSON.stringify(uri.slice(0, 80)))
    const beside = await askToRegister(target, { redirect_uris: [uri, WEB_URI, uri] })
    t.strictSame([beside.status, beside.body.redirect_uris], [201, [WEB_URI]], 'and beside another, it is left out')
  }
  for (const uris of [[], [{}], [null], 'https://app.example/callback', { 0: WEB_URI }, [[WEB_URI]], [1]]) {
    t.equal((await askToRegister(target, { redirect_uris: uris })).status, 400, JSON.stringify(uris))
  }
  for (
    const uri of [
      WEB_URI,
      'https://app.example',
      'https://app.example:8443/a?b=c',
      'https://my_app.example/',
      'http://localhost/callback',
      'http://127.0.0.1:1/',
      'http://[::1]:3334/callback',
      'cursor://anysphere.cursor-retrieval/oauth/callback'
    ]
  ) {
    t.equal((await askToRegister(target, { redirect_uris: [uri] })).status, 201, `but ${uri}`)
  }
})

/** Variants of a registered URI, none of which is it. */
function variantsOf (uri: string): string[] {
  const { origin, host, pathname, protocol } = new URL(uri)
  return [
    `${uri}/`,
    `${uri}/more`,
    `${uri}x`,
    uri.slice(0, -1),
    `${uri}?`,
    `${uri}?extra=1`,
    `${uri}&extra=1`,
    `${uri}#fragment`,
    `${uri}#`,
    `${uri};x`,
    `${uri}%20`,
    `${uri}%00`,
    `${uri}.`,
    origin,
    `${origin}/`,
    `${origin}//callback`,
    `${origin}/./callback`,
    `${origin}/x/../callback`,
    `${origin}/callback/../evil`,
    `${origin}/callback/%2e%2e/evil`,
    `${origin}/..%2fcallback`,
    `${origin}/Callback`,
    `${origin}/%63allback`,
    uri.toUpperCase(),
    uri.replace('http', 'HTTP'),
    ` ${uri}`,
    `${uri} `,
    `${uri}\n`,
    `${uri}\t`,
    `\n${uri}`,
    `${uri}\r\nX-Injected: 1`,
    `${uri}\u0000`,
    `${protocol}//evil.${host}${pathname}`,
    `${protocol}//${host}.evil.example${pathname}`,
    `${protocol}//${host}@evil.example${pathname}`,
    `${protocol}//evil.example@${host}${pathname}`,
    `${protocol}//@${host}${pathname}`,
    `${protocol}//${host}%40evil.example${pathname}`,
    `${protocol}//${host}%2eevil.example${pathname}`,
    `${protocol}//${host}\\@evil.example${pathname}`,
    `${protocol}//${host}\\.evil.example${pathname}`,
    `${protocol}//evil.example\\@${host}${pathname}`,
    `${protocol}//evil.example#@${host}${pathname}`,
    `${protocol}//evil.example?${uri}`,
    `${protocol}//evil.example/${uri}`,
    `${protocol}${host}${pathname}`,
    `${protocol}/${host}${pathname}`,
    `${protocol}///${host}${pathname}`,
    `${protocol}\\\\${host}${pathname}`,
    `//${host}${pathname}`,
    pathname,
    'evil.example',
    '//evil.example',
    'https://evil.example',
    'javascript:alert(1)',
    `javascript://${host}${pathname}`,
    'data:text/html,x',
    `view-source:${uri}`,
    encodeURIComponent(uri),
    `${uri} https://evil.example`,
    `${uri},https://evil.example`,
    '*',
    'null'
  ].filter(variant => variant !== uri)
}

const CLIENTS: Record<string, string[]> = {
  'https://app.example/callback': [
    'http://app.example/callback',
    'https://app.example:443/callback',
    'https://app.example:8443/callback',
    'https://app.example:80/callback',
    'https://app.example./callback',
    'https://www.app.example/callback',
    'http://localhost/callback',
    'https://xn--pp-7cd.example/callback'
  ],
  'http://localhost:3334/callback': [
    'https://localhost:3334/callback',
    'http://127.0.0.1:3334/callback',
    'http://[::1]:3334/callback',
    'http://localhost.:3334/callback',
    'http://localhost.evil.com:3334/callback',
    'http://evil.localhost:3334/callback',
    'http://localhost@evil.example/callback',
    'http://localhost:3334@evil.example/callback',
    'http://localhost:@evil.example/callback',
    'http://localhost:99999/callback',
    'http://localhost:/callback',
    'http://localhost:-1/callback',
    'http://localhost:1e3/callback',
    'http://localhost:3334.evil.example/callback',
    'http://localhost:3334/callback?x',
    'http://LOCALHOST:3334/callback'
  ],
  'http://127.0.0.1:3334/callback': [
    'http://localhost:3334/callback',
    'http://127.0.0.2:3334/callback',
    'http://127.1:3334/callback',
    'http://0x7f000001:3334/callback',
    'http://2130706433:3334/callback',
    'http://0177.0.0.1:3334/callback',
    'http://[::ffff:127.0.0.1]:3334/callback',
    'http://127.0.0.1.nip.io:3334/callback',
    'http://127.0.0.1.:3334/callback',
    'http://127.000.000.001:3334/callback',
    'http://0.0.0.0:3334/callback'
  ],
  'http://[::1]:3334/callback': [
    'http://[0:0:0:0:0:0:0:1]:3334/callback',
    'http://[::ffff:127.0.0.1]:3334/callback',
    'http://[::1%25eth0]:3334/callback',
    'http://[::2]:3334/callback',
    'http://::1:3334/callback'
  ],
  'cursor://app/callback': [
    'cursor:app/callback',
    'cursor:///app/callback',
    'cursor://app:80/callback',
    'vscode://app/callback',
    'cursor://evil/callback'
  ]
}

t.test('no request is answered at a URI that was not registered, whatever is wrong with it', async t => {
  // how many may be made is another matter
  const target = await startTarget(t, { OAUTH_REQUESTS_PER_MINUTE: '10000' })
  const refused = async (client: Client, redirectUri: string, parameters = {}) => {
    const { pathname, search } = authorizationUrl(target, client, { redirect_uri: redirectUri, ...parameters })
    const { statusCode, headers, body } = await target.app.inject({ url: pathname + search })
    t.strictSame(
      {
        statusCode,
        type: headers['content-type'],
        location: headers.location,
        link: /<(a|form|meta http-equiv)\b/.exec(body)?.[0]
      },
      { statusCode: 400, type: 'text/html; charset=utf-8', location: undefined, link: undefined },
      `${JSON.stringify(redirectUri)} gets a page that leads nowhere`)
  }
  for (const [uri, more] of Object.entries(CLIENTS)) {
    const client = await register(target, uri, { client_id: undefined })
    for (const variant of [...variantsOf(uri), ...more]) {
      await refused(client, variant)
      await refused(client, variant, { response_type: 'token', code_challenge: undefined })
    }
    const { pathname, search } = authorizationUrl(target, client)
    t.equal((await target.app.inject({ url: pathname + search })).statusCode, 200, `${uri} itself is good`)
  }
})

t.test('the port is free on loopback, and nowhere else', async t => {
  const target = await startTarget(t)
  for (const registered of ['http://localhost/callback', 'http://127.0.0.1/callback', 'http://[::1]/callback']) {
    const client = await register(target, registered)
    const uri = registered.replace('/callback', ':49152/callback')
    const end = await openBrowser(target).open(
      authorizationUrl(target, client, { redirect_uri: uri, response_type: 'none' })
    )
    t.ok(isAt(end, uri), uri)
  }
  const https = await register(target, 'https://localhost/callback')
  t.equal(
    (await openBrowser(target).open(authorizationUrl(target, https, { redirect_uri: 'https://localhost:1/callback' })))
      .status,
    400,
    'not with https'
  )
})

t.test('of two registered URIs the request must name one, once', async t => {
  const target = await startTarget(t)
  const client = await register(target, WEB_URI, { redirect_uris: [WEB_URI, 'https://app.example/other'] })
  t.equal(
    (await openBrowser(target).open(authorizationUrl(target, client, { redirect_uri: undefined }))).status,
    400,
    'named: none'
  )
  const twice = authorizationUrl(target, client)
  twice.searchParams.append('redirect_uri', 'https://app.example/other')
  t.equal((await openBrowser(target).open(twice)).status, 400, 'named: both')
  const evil = authorizationUrl(target, client)
  evil.searchParams.append('redirect_uri', 'https://evil.example/')
  t.equal((await openBrowser(target).open(evil)).status, 400, 'named: another, too')
  const encoded = authorizationUrl(target, client)
  encoded.search += '&redirect%5Furi=https%3A%2F%2Fevil.example%2F'
  t.equal((await openBrowser(target).open(encoded)).status, 400, 'named: another, too, in disguise')
})
