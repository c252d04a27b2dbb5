import { once } from 'node:events'
import { createServer } from 'node:http'
import { parse } from 'node-html-parser'
import t, { type Test } from 'tap'
import { addressOf } from '../support/address-of.js'
import { textAt } from '../support/json.js'
import { askToRegister, authorizationUrl, form, register, WEB_URI } from '../support/oauth-flow.js'
import { agree, injectForm, startTarget, type Target } from '../support/target.js'

/** Text that would be markup, or read as something else, wherever it is not escaped. */
const NOISE = [
  '<script>alert(1)</script>',
  '</title><script>alert(1)</script>',
  '"><img src=x onerror=alert(1)>',
  '\' onmouseover=\'alert(1)',
  '" autofocus onfocus="alert(1)',
  '`onload=alert(1)',
  '</dd></dl><form action=https://evil.example><button>Deny</button>',
  '<meta http-equiv=refresh content=0;url=https://evil.example>',
  '<base href=https://evil.example>',
  '<style>*{display:none}</style>',
  '<!--',
  '-->',
  '<![CDATA[',
  '&lt;script&gt;',
  '&#60;script&#62;',
  '<svg/onload=alert(1)>',
  '{{constructor}}',
  'javascript:alert(1)',
  '\u3008script\u3009',
  '\uff1cscript\uff1e'
]
/** Direction, format and invisible characters: what is shown must be what is there. */
const INVISIBLE = [
  '\u202e',
  '\u202d',
  '\u2066',
  '\u2067',
  '\u200f',
  '\u061c',
  '\u200b',
  '\u2028',
  '\u2029',
  '\u00ad',
  '\ufeff',
  '\u{e0041}'
]

/** What a browser makes of a page, less its text. */
function structureOf (html: string): string {
  return parse(html, { comment: true }).querySelectorAll('*').map(({ rawTagName, attributes }) =>
    `${rawTagName}[${Object.keys(attributes).join()}]`
  ).join()
}

// TAP would read some of it
const label = (text: string) => encodeURIComponent(text).slice(0, 40)

interface PageAnswer {
  statusCode: number
  body: string
  headers: Record<string, string | string[] | number | undefined>
}

const POLICY =
  /^default-src 'none'; style-src 'sha256-[\w+/=]+'; img-src (?:'none'|https:\/\/[\w.:-]+); base-uri 'none'; frame-ancestors 'none'$/

function isSafe (
  t: Test,
  { statusCode, body, headers }: PageAnswer,
  what: string,
  structure?: string,
  linksAreOurs = true
): void {
  const built = structureOf(body)
  const faults: Record<string, boolean> = {
    'it is not answered': statusCode >= 500,
    'the policy allows more than our style': !POLICY.test(String(headers['content-security-policy'])),
    'it is not HTML': headers['content-type'] !== 'text/html; charset=utf-8' ||
      headers['x-content-type-options'] !== 'nosniff',
    'it can be framed': headers['x-frame-options'] !== 'DENY',
    'it is kept': headers['cache-control'] !== 'no-store',
    'there is markup that is not ours': /\b(script|svg|base|iframe|autofocus|on\w+)\b|http-equiv|style\[[^\]]/.test(
      built
    ),
    'it is built another way': structure !== undefined && built !== structure,
    'there is text to mislead': INVISIBLE.some(character => body.includes(character)),
    'it leads elsewhere': !linksAreOurs,
    'it has no end': body.length > 20_000
  }
  t.strictSame(Object.keys(faults).filter(fault => faults[fault] === true), [], what)
}

async function open (target: Target, url: URL): Promise<PageAnswer> {
  return await target.app.inject({ url: url.pathname + url.search })
}

t.test('in client metadata that the consent page shows', async t => {
  const target = await startTarget(t)
  const consentOf = async (metadata: Record<string, unknown>) => {
    const registration = await target.app.inject({
      method: 'POST',
      url: '/register',
      remoteAddress: `192.0.2.${JSON.stringify(metadata).length % 250}`,
      payload: { redirect_uris: [WEB_URI], token_endpoint_auth_method: 'none', client_name: 'Name', ...metadata }
    })
    if (
      ![201, 400].includes(registration.statusCode) ||
      registration.headers['content-type'] !== 'application/json; charset=utf-8'
    ) t.fail(`${registration.statusCode} ${registration.headers['content-type']}`)
    if (registration.statusCode !== 201) return undefined
    const client: unknown = registration.json()
    return await open(
      target,
      authorizationUrl(target, {
        clientId: textAt(client, 'client_id'),
        redirectUri: textAt(client, 'redirect_uris', 0)
      })
    )
  }
  const plain = await consentOf({})
  const structure = structureOf(plain?.body ?? '')
  t.match(structure, 'form[')
  for (const noise of NOISE) {
    const named = await consentOf({ client_name: noise })
    if (named === undefined) throw new Error('A name may be anything')
    isSafe(t, named, label(`client_name ${noise}`), structure)
    const page = parse(named.body)
    t.equal(page.querySelector('bdi')?.textContent, noise.trim(), 'shown as it is')
    t.equal(page.querySelector('title')?.textContent, `Allow ${noise.trim()}?`)
    for (const member of ['client_uri', 'logo_uri']) {
      for (
        const uri of [
          noise,
          `https://app.example/${noise}`,
          `https://app.example/?${noise}`,
          `https://${noise}/`,
          `https://app.example#${noise}`
        ]
      ) {
        const answer = await consentOf({ [member]: uri })
        if (answer !== undefined) isSafe(t, answer, label(`${member} ${uri}`))
      }
    }
    const uri = await consentOf({ redirect_uris: [`${WEB_URI}?x=${noise}`] })
    if (uri !== undefined) isSafe(t, uri, label(`redirect_uris ${noise}`), structure)
    for (const member of ['scope', 'software_id', 'contacts']) {
      const answer = await consentOf({ [member]: member === 'contacts' ? [noise] : noise })
      if (answer !== undefined) isSafe(t, answer, label(`${member} ${noise}`), structure)
    }
  }
})

t.test('in a name that is to be read as another', async t => {
  const target = await startTarget(t)
  for (const character of INVISIBLE) {
    const client = await register(target, WEB_URI, { client_name: `A${character}B` })
    const answer = await open(target, authorizationUrl(target, client))
    isSafe(t, answer, `U+${character.codePointAt(0)?.toString(16)}`)
    t.equal(parse(answer.body).querySelector('bdi')?.textContent, 'AB')
  }
  for (const name of [INVISIBLE.slice(0, 4).join(''), ' \u3000 ']) {
    const client = await register(target, WEB_URI, { client_name: name })
    t.match(
      parse((await open(target, authorizationUrl(target, client))).body).querySelector('bdi')?.textContent,
      /^an application/i,
      'nothing to see is no name'
    )
  }
  const long = await register(target, WEB_URI, { client_name: 'W'.repeat(200) })
  isSafe(t, await open(target, authorizationUrl(target, long)), 'a long name')
  await t.rejects(
    register(target, WEB_URI, { client_name: 'W'.repeat(10_000) }),
    /invalid_client_metadata/,
    'client_name has an end'
  )
  for (const member of ['client_uri', 'logo_uri']) {
    const value = `https://app.example/${'x'.repeat(10_000)}`
    const answer = await askToRegister(target, { redirect_uris: [WEB_URI], [member]: value })
    t.strictSame([answer.status, answer.body[member]], [201, undefined], `${member} has an end`)
  }
})

t.test('in a metadata document', async t => {
  let document: Record<string, unknown> = {}
  const server = createServer((request, response) => {
    response.writeHead(200, { 'content-type': 'application/json' }).end(
      JSON.stringify({
        client_id: `http://${request.headers.host}${request.url}`,
        redirect_uris: [WEB_URI],
        ...document
      })
    )
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const address = addressOf(server)
  const target = await startTarget(t)
  let documents = 0
  for (const noise of [...NOISE, INVISIBLE.join('x'), INVISIBLE[0] ?? '']) {
    for (
      const given of [
        { client_name: noise },
        { redirect_uris: [noise] },
        { redirect_uris: [`https://evil.example/${noise}`] },
        { logo_uri: noise },
        { client_uri: `https://x/${noise}` },
        { token_endpoint_auth_method: noise },
        { client_secret: noise },
        { [noise]: noise },
        { client_id: noise },
        { application_type: noise }
      ]
    ) {
      document = given
      const clientId = `http://127.0.0.1:${address.port}/${++documents}`
      isSafe(
        t,
        await open(target, authorizationUrl(target, { clientId, redirectUri: WEB_URI })),
        label(JSON.stringify(given))
      )
    }
  }
})

t.test('in parameters that an error page could show', async t => {
  const target = await startTarget(t)
  const client = await register(target, WEB_URI)
  const names = [
    'client_id',
    'redirect_uri',
    'response_type',
    'response_mode',
    'state',
    'scope',
    'resource',
    'code_challenge',
    'code_challenge_method',
    'request_uri',
    'error',
    'error_description'
  ]
  for (const noise of [...NOISE, INVISIBLE.join('x'), 'x'.repeat(4000)]) {
    for (const name of names) {
      for (
        const more of name === 'redirect_uri'
          ? [{}]
          : [{ response_type: 'token' }, { redirect_uri: 'https://evil.example' }]
      ) {
        const answer = await open(target, authorizationUrl(target, client, { ...more, [name]: noise }))
        const links = parse(answer.body).querySelectorAll('[href], [src], [action]').map((
          { attributes: { href, src, action } }
        ) => new URL(href ?? src ?? action ?? '').origin)
        isSafe(
          t,
          answer,
          label(`${name} ${noise}`),
          undefined,
          links.every(origin => origin === target.url || origin === new URL(WEB_URI).origin)
        )
      }
    }
    for (const path of ['/oauth/callback', '/authorize']) {
      isSafe(
        t,
        await target.app.inject({
          url: `${path}?${
            form({ state: noise, error: noise, error_description: noise, code: noise, iss: noise, client_id: noise })
          }`
        }),
        label(`${path} ${noise}`)
      )
    }
    isSafe(t, await injectForm(target, '/authorize/consent', { transaction: noise, decision: noise }), 'the consent')
    isSafe(
      t,
      await target.app.inject({
        method: 'POST',
        url: '/authorize/consent',
        payload: noise,
        headers: { 'content-type': 'text/plain' }
      }),
      'a body of another kind'
    )
  }
})

t.test('in an error of the upstream\'s', async t => {
  const target = await startTarget(t)
  const client = await register(target, WEB_URI)
  for (const noise of NOISE) {
    const { cookie, state } = await agree(target, client)
    const refusal = { error: noise, error_description: noise, error_uri: noise, iss: target.upstream.issuer, state }
    const { headers, body } = await target.app.inject({
      url: `/oauth/callback?${form(refusal)}`,
      headers: { cookie }
    })
    t.strictSame(
      [...new URL(headers.location ?? '').searchParams].filter(([, value]) => value.includes(noise)),
      [],
      'the client is not told in the upstream\'s words'
    )
    t.equal(body, '')
  }
})
