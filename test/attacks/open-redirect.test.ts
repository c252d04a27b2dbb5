import t from 'tap'
import {
  authorizationUrl,
  form,
  isAt,
  openBrowser,
  register,
  LOOPBACK_URI,
  WEB_URI,
  type Client,
  type Parameters
} from '../support/oauth-flow.js'
import { startTarget } from '../support/target.js'

const EVIL = 'https://evil.example/'

/** Everything that can be wrong with a request whose client and redirect URI are right. */
const ERRORS: Record<string, Parameters> = {
  invalid_request: { response_type: undefined },
  unsupported_response_type: { response_type: 'token' },
  invalid_target: { resource: EVIL },
  invalid_scope: { scope: 'nothing-of-the-kind' }
}

const MORE: Parameters[] = [
  { code_challenge: undefined },
  { code_challenge_method: 'plain' },
  { response_mode: 'fragment' },
  { request: 'x' },
  { request_uri: EVIL }
]

t.test('an erroneous request of a client that anybody can register shows a page', async t => {
  const target = await startTarget(t)
  const client = await register(target, WEB_URI)
  for (
    const [error, parameters] of [
      ...Object.entries(ERRORS),
      ...MORE.map(parameters => ['invalid_request', parameters] as const)
    ]
  ) {
    const page = await openBrowser(target).open(authorizationUrl(target, client, parameters))
    t.equal(page.status, 400, error)
    t.equal(page.headers.get('location'), null)
    t.equal(page.headers.get('refresh'), null)
    t.equal(page.document.querySelector('meta[http-equiv]'), null, 'nothing leads away by itself')
    t.equal(page.document.querySelector('form, script, iframe'), null)
    const links = page.document.querySelectorAll('a').map(link => new URL(link.getAttribute('href') ?? ''))
    t.equal(links.length, 1, 'the person may go to the client')
    t.equal(links[0]?.origin, new URL(WEB_URI).origin)
    t.equal(links[0]?.searchParams.get('error'), error)
  }
})

t.test('an application on the person\'s machine is told', async t => {
  const target = await startTarget(t)
  const client = await register(target)
  for (const [error, parameters] of Object.entries(ERRORS)) {
    const page = await openBrowser(target).open(authorizationUrl(target, client, parameters))
    t.ok(isAt(page, LOOPBACK_URI))
    t.equal(page.url.searchParams.get('error'), error)
  }
})

const OUTAGE = 'a document whose host is down as client'

t.test('before client and redirect URI are verified there is only a page', async t => {
  const target = await startTarget(t)
  const client = await register(target)
  const attempts: Array<[string, Partial<Client>, Parameters]> = [
    ['an unknown client', { clientId: `mcpc_${'A'.repeat(43)}` }, {}],
    ['no client', {}, { client_id: undefined }],
    [OUTAGE, { clientId: 'https://127.0.0.1:1/client.json' }, { redirect_uri: EVIL }],
    ['an unregistered redirect URI', {}, { redirect_uri: EVIL }],
    ['an unregistered redirect URI without a scheme', {}, { redirect_uri: '//evil.example/' }],
    ['a redirect URI and an error', {}, { redirect_uri: EVIL, error: 'x', response_type: 'token' }]
  ]
  for (const [what, other, parameters] of attempts) {
    for (const erroneous of [{}, ...Object.values(ERRORS), ...MORE]) {
      const { pathname, search, searchParams } = authorizationUrl(target, { ...client, ...other }, {
        ...erroneous,
        ...parameters
      })
      for (
        const answer of [
          await target.app.inject({ url: pathname + search }),
          await target.app.inject({
            method: 'POST',
            url: pathname,
            payload: searchParams.toString(),
            headers: { 'content-type': 'application/x-www-form-urlencoded' }
          })
        ]
      ) {
        t.strictSame([answer.statusCode, answer.headers.location, /<a\b|<form|evil\.example/.exec(answer.body)?.[0]], [
          what === OUTAGE ? 503 : 400,
          undefined,
          undefined
        ], what)
      }
    }
  }
})

t.test('neither the consent form nor the callback leads where a parameter says', async t => {
  const target = await startTarget(t)
  const client = await register(target, WEB_URI)
  const lures: Parameters = {
    redirect_uri: EVIL,
    redirect: EVIL,
    next: EVIL,
    return_to: EVIL,
    url: EVIL,
    iss: EVIL,
    error: 'access_denied',
    error_uri: EVIL
  }

  for (const [path, parameters] of [
    ['/oauth/callback', {}], ['/oauth/callback', { state: 'unknown', code: 'x' }], ['/oauth/callback', { state: '' }]
  ] as const) {
    const page = await openBrowser(target).open(`${target.url}${path}?${form({ ...lures, ...parameters })}`)
    t.equal(page.status, 400)
    t.equal(page.document.querySelector('a'), null)
  }
  for (
    const parameters of [{}, { transaction: 'unknown' }, { transaction: 'unknown', decision: 'allow' }, {
      transaction: 'unknown',
      decision: 'deny'
    }]
  ) {
    const page = await openBrowser(target).open(`${target.url}/authorize/consent`, {
      method: 'POST',
      body: form({ ...lures, ...parameters }),
      headers: { origin: target.url }
    })
    t.equal(page.status, 400)
    t.equal(page.document.querySelector('a'), null)
  }

  const browser = openBrowser(target)
  const deny = await browser.submit(await browser.open(authorizationUrl(target, client)), {
    redirect_uri: EVIL,
    iss: EVIL
  }, 'Deny')
  t.ok(isAt(deny, WEB_URI), 'a denial goes to the client')
  const asked = await browser.open(authorizationUrl(target, client))
  await browser.submit(asked, {}, 'Allow access')
  const upstreamUrl = browser.visited.find(({ href, searchParams }) =>
    href.startsWith(target.upstream.issuer) && searchParams.has('state')
  )
  const state = upstreamUrl?.searchParams.get('state') ?? ''
  const error = await browser.open(
    `${target.url}/oauth/callback?${form({ ...lures, iss: target.upstream.issuer, state })}`
  )
  t.ok(isAt(error, WEB_URI), 'and so does an error of the upstream\'s')
  t.equal(error.url.searchParams.get('error'), 'access_denied')
})

t.test('nor do paths that look like another host', async t => {
  const target = await startTarget(t)
  for (
    const path of [
      '//evil.example',
      '//evil.example/',
      '//evil.example/authorize',
      '/\\evil.example/',
      '/%2f%2fevil.example/',
      '/authorize//evil.example',
      '/authorize/',
      '/oauth/callback/',
      '/authorize/consent/?x=//evil.example',
      '//evil.example/oauth/callback?state=x'
    ]
  ) {
    const { status, headers } = await target.fetch(target.url + path, { redirect: 'manual' })
    t.ok(status >= 400, `${path}: ${status}`)
    t.equal(headers.get('location'), null)
  }
})
