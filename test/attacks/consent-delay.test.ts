import { parse } from 'node-html-parser'
import t, { type Test } from 'tap'
import { authorizationUrl, register, WEB_URI } from '../support/oauth-flow.js'
import { embed, injectForm, type Target } from '../support/target.js'

/*
 * A press that was meant for what was on the screen before must not allow anything: "Allow" counts after a moment only.
 * The server keeps to that by itself, so that neither a key nor a browser without the style comes sooner.
 */

const DELAY_MS = 150
const HTTPS = 'https://mcp.example'

async function openPage (target: Target) {
  const client = await register(target, WEB_URI)
  const { pathname, search } = authorizationUrl(target, client)
  const answer = await target.app.inject({ url: pathname + search })
  return {
    answer,
    cookie: String(answer.headers['set-cookie']).split(';')[0] ?? '',
    transaction: transactionOf(answer.body)
  }
}

function transactionOf (body: string): string {
  return parse(body).querySelector('input[name=transaction]')?.getAttribute('value') ?? ''
}

/** A clock that the test puts forward. */
function clock (t: Test): { forward (ms: number): void } {
  const now = Date.now
  let passed = 0
  t.intercept(Date, 'now', { value: () => now() + passed })
  return { forward: ms => { passed += ms } }
}

const decide = async (
  target: Target,
  decision: string,
  { cookie, transaction }: { cookie: string, transaction: string }
) => await injectForm(target, '/authorize/consent', { transaction, decision }, { cookie, origin: target.url })

for (const [what, publicUrl, consentDelayMs] of [
  ['as it is told', 'http://localhost:5050', DELAY_MS], ['by itself behind https', HTTPS, undefined]
] as const) {
  t.test(`"Allow" does not count at once (${what})`, async t => {
    const target = await embed(t, { publicUrl, ...consentDelayMs !== undefined && { consentDelayMs } })
    const page = await openPage(target)
    const begun = performance.now()
    const soon = await decide(target, 'allow', page)
    t.ok(performance.now() - begun < 2000, 'it waits no longer than the delay')
    t.equal(soon.statusCode, 200, 'the page comes again')
    t.equal(soon.headers.location, undefined)
    t.match(parse(soon.body).querySelector('[role=alert]')?.textContent, /too fast/)
    t.equal(
      target.upstream.requests.filter(({ endpoint }) => endpoint === 'authorize' || endpoint === 'register').length,
      0,
      'nothing went upstream'
    )
    t.notMatch(soon.body, '<script', 'it works without JavaScript')
    const again = await decide(target, 'allow', { cookie: page.cookie, transaction: transactionOf(soon.body) })
    t.match(
      again,
      { statusCode: 303, headers: { location: /\/authorize\?/ } },
      'and who answers that one is not asked a third time'
    )
    t.equal(new URL(String(again.headers.location)).origin, target.upstream.issuer)
  })
}

t.test('after the moment it counts the first time', async t => {
  const { forward } = clock(t)
  const target = await embed(t, { consentDelayMs: 10_000 })
  const page = await openPage(target)
  forward(10_001)
  t.match(await decide(target, 'allow', page), { statusCode: 303, headers: { location: /^https?:/ } })
})

t.test('a page that was sent too soon does not restart the delay', async t => {
  const { forward } = clock(t)
  const target = await embed(t, { consentDelayMs: DELAY_MS })
  const page = await openPage(target)
  const soon = await decide(target, 'allow', page)
  t.equal(soon.statusCode, 200)
  forward(600_001)
  t.equal(
    (await decide(target, 'allow', { cookie: page.cookie, transaction: transactionOf(soon.body) })).statusCode,
    400,
    'it is as old as the first'
  )
})

t.test('"Deny" counts at once', async t => {
  const target = await embed(t, { consentDelayMs: 10_000 })
  const denied = await decide(target, 'deny', await openPage(target))
  t.match(denied, { statusCode: 303 })
  const location = new URL(String(denied.headers.location))
  t.equal(location.origin + location.pathname, WEB_URI)
  t.equal(location.searchParams.get('error'), 'access_denied')
})

t.test('on loopback nobody waits, unless told to', async t => {
  const target = await embed(t)
  t.match(await decide(target, 'allow', await openPage(target)), { statusCode: 303 })
})

t.test('who opened a page in a window cannot reach it', async t => {
  const target = await embed(t, { consentDelayMs: DELAY_MS })
  const page = await openPage(target)
  const soon = await decide(target, 'allow', page)
  const failed = await target.app.inject({ url: '/authorize' })
  const connections = await target.app.inject({ url: '/oauth/connections' })
  for (const [what, { headers }] of Object.entries({ asked: page.answer, soon, failed, connections })) {
    t.equal(headers['cross-origin-opener-policy'], 'same-origin', what)
    t.match(headers['content-security-policy'], /frame-ancestors 'none'/, what)
  }
})
