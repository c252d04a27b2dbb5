import { statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createRemoteJWKSet, jwtVerify } from 'jose'
import t, { type Test } from 'tap'
import { startDemoUpstream, type DemoUpstream } from '../../src/demo/upstream.js'
import { Browser, logIn } from '../support/browser.js'
import { form, s256Challenge, STATE, VERIFIER, WEB_URI, type Parameters } from '../support/oauth-flow.js'
import { freePort } from '../support/free-port.js'
import { parseObject, textAt } from '../support/json.js'

/** A demo upstream that can be stopped and started again, at one port. */
async function restartable (t: Test, file: string) {
  const port = await freePort()
  let running: DemoUpstream | undefined
  const start = async () => { running = await startDemoUpstream({ port, file }) }
  await start()
  t.teardown(async () => { await running?.close() })
  return {
    issuer: `http://localhost:${port}`,
    restart: async () => {
      await running?.close()
      await start()
    }
  }
}

async function ask (url: string, init: RequestInit = {}) {
  // the connection may be one to the process before the restart
  const response = await fetch(url, init).catch(() => fetch(url, init))
  const text = await response.text()
  return { status: response.status, body: text === '' ? {} : parseObject(text) }
}

const openBrowser = () => new Browser(
  url => url.href.startsWith(WEB_URI),
  (input, init) => fetch(input, init).catch(() => fetch(input, init))
)

/** A client of the demo upstream. */
async function register (issuer: string) {
  const { body } = await ask(`${issuer}/reg`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      redirect_uris: [WEB_URI],
      token_endpoint_auth_method: 'none',
      grant_types: ['authorization_code', 'refresh_token']
    })
  })
  const [id, access] = [textAt(body, 'client_id'), textAt(body, 'registration_access_token')]
  const token = async (parameters: Parameters) =>
    await ask(`${issuer}/token`, { method: 'POST', body: form({ client_id: id, ...parameters }) })
  return {
    id,
    logIn: async (browser: Browser) => {
      const url = new URL(`${issuer}/auth`)
      url.search = form({
        client_id: id,
        response_type: 'code',
        redirect_uri: WEB_URI,
        scope: 'openid offline_access',
        state: STATE,
        code_challenge: s256Challenge(VERIFIER),
        code_challenge_method: 'S256'
      }).toString()
      const { searchParams } = (await logIn(browser, url)).url
      return searchParams.get('code') ?? ''
    },
    redeem: async (code: string) => await token({
      grant_type: 'authorization_code',
      code,
      redirect_uri: WEB_URI,
      code_verifier: VERIFIER
    }),
    refresh: async (refreshToken: string) => await token({ grant_type: 'refresh_token', refresh_token: refreshToken }),
    revoke: async (refreshToken: string) => await ask(`${issuer}/token/revocation`, {
      method: 'POST',
      body: form({ client_id: id, token: refreshToken })
    }),
    registration: async (method = 'GET') => await ask(`${issuer}/reg/${id}`, {
      method,
      headers: { authorization: `Bearer ${access}` }
    })
  }
}

t.test('a demo upstream with a file goes through a restart with all that it keeps', async t => {
  const file = join(t.testdir(), 'demo-login.sqlite')
  const { issuer, restart } = await restartable(t, file)
  t.equal(statSync(file).mode & 0o777, 0o600, 'nobody else reads its keys')
  const browser = openBrowser()
  const client = await register(issuer)
  const code = await client.logIn(browser)

  await restart()
  const redeemed = await client.redeem(code)
  t.equal(redeemed.status, 200, 'a code that was issued before')
  await restart()
  const replayed = await register(issuer)
  t.equal((await replayed.registration()).status, 200)
  const idToken = textAt(redeemed.body, 'id_token')
  const keys = createRemoteJWKSet(new URL(`${issuer}/jwks`))
  const { payload } = await jwtVerify(idToken, keys, { issuer, audience: client.id })
  t.equal(payload.sub, 'alice', 'its keys are the same')

  const refreshed = await client.refresh(textAt(redeemed.body, 'refresh_token'))
  t.equal(refreshed.status, 200, 'a refresh token')
  const visited = browser.visited.length
  const again = await client.logIn(browser)
  t.not(again, '')
  const pages = browser.visited.slice(visited)
  t.notOk(pages.some(({ pathname }) => pathname.startsWith('/interaction')), 'people who are logged in stay so')

  const token = textAt(refreshed.body, 'refresh_token')
  await client.revoke(token)
  await restart()
  t.equal((await client.refresh(token)).body.error, 'invalid_grant', 'what was revoked stays revoked')
  t.equal((await client.registration('DELETE')).status, 204)
  await restart()
  t.not((await client.registration()).status, 200, 'who has left is gone')
})

t.test('a code is taken once, whenever the restart comes', async t => {
  const { issuer, restart } = await restartable(t, join(t.testdir(), 'demo-login.sqlite'))
  const client = await register(issuer)
  const code = await client.logIn(openBrowser())
  const redeemed = await client.redeem(code)
  await restart()
  t.equal((await client.redeem(code)).body.error, 'invalid_grant')
  const refreshed = await client.refresh(textAt(redeemed.body, 'refresh_token'))
  t.equal(refreshed.body.error, 'invalid_grant', 'and its tokens end')
})

t.test('a file that cannot be used is one line, which names it', async t => {
  const directory = t.testdir()
  const file = join(directory, 'demo-login.sqlite')
  writeFileSync(file, 'not a database, and longer than a header of one: '.repeat(100))
  const rows = [
    [file, 'SQLITE_NOTADB'],
    [directory, '[^\\n]*Unable to open[^\\n]*'],
    [join(file, 'x'), 'ENOTDIR']
  ] as const
  for (const [path, why] of rows) {
    await t.rejects(startDemoUpstream({ port: 0, file: path }), {
      message: new RegExp(`^The state of the demo upstream, ${path}, cannot be used \\(${why}\\)\\.[^\\n]+$`)
    })
  }
})
