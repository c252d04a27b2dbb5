import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { createRemoteJWKSet, jwtVerify } from 'jose'
import t, { type Test } from 'tap'
import { startDemoUpstream, type DemoUpstream } from '../../src/demo/upstream.js'
import { loadLibsql } from '../../src/stores/sqlite/database/libsql.js'
import { Browser, logIn } from '../support/browser.js'
import { form, s256Challenge, STATE, VERIFIER, WEB_URI, type Parameters } from '../support/oauth-flow.js'
import { freePort } from '../support/free-port.js'
import { parseObject, textAt } from '../support/json.js'
import { root } from '../support/root.js'

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
  const body = await response.text()
  return { status: response.status, body: body === '' ? {} : parseObject(body) }
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

/** A state as it is after a start. */
async function makeState (file: string): Promise<Buffer> {
  await (await startDemoUpstream({ port: 0, file })).close()
  change(file, 'PRAGMA wal_checkpoint(TRUNCATE)')
  return readFileSync(file)
}

function change (file: string, ...statements: readonly string[]): void {
  const database = new (loadLibsql())(file)
  for (const statement of statements) database.exec(statement)
  database.close()
}

t.test('a damaged or strange file is one line, or works', async t => {
  const directory = t.testdir()
  const whole = await makeState(join(directory, 'whole'))
  const keys = (value: string) => `UPDATE secrets SET value = '${value}'`
  const bad = Buffer.from(whole)
  for (let at = 4096; at < bad.length; at += 97) bad.writeUInt8(bad.readUInt8(at) ^ 0xff, at)
  const rows: Array<[what: string, content: Buffer | string, changes: readonly string[], why: string | undefined]> = [
    ['nothing', '', [], undefined],
    ['JSON', '{ "clients": [] }', [], 'SQLITE_NOTADB'],
    ['half a page', whole.subarray(0, 2000), [], 'SQLITE_CORRUPT'],
    ['a page', whole.subarray(0, 4096), [], 'SQLITE_CORRUPT'],
    ['all but a page', whole.subarray(0, -4096), [], 'SQLITE_CORRUPT'],
    ['other bytes', bad, [], 'it is damaged|SQLITE_CORRUPT'],
    ['another version', whole, ['PRAGMA user_version = 99'], 'it was written by another version'],
    ['another program', '', ['CREATE TABLE bookmarks (url)'], 'it is the database of another program'],
    ['a trigger', whole, [
      "CREATE TRIGGER no BEFORE INSERT ON entries BEGIN SELECT RAISE(ABORT, 'no'); END"
    ], 'it is the database of another program'],
    ['other columns', whole, ['DROP TABLE entries', 'CREATE TABLE entries (a, b)'], 'SQLITE_ERROR'],
    ['no entries', whole, ['DROP TABLE entries'], undefined],
    ['no keys', whole, ['DELETE FROM secrets'], undefined],
    ['keys that are not text', whole, ["UPDATE secrets SET value = CAST(X'ff00fe' AS TEXT)"], 'its keys are not valid'],
    ...['', 'null', '[]', '{}', '7', '{"half', '{"signingKey":{},"cookieKey":"a"}',
      '{"signingKey":{"kty":"RSA","n":"x","e":"y","d":"z"},"cookieKey":"a"}',
      '{"signingKey":{"kty":"oct","k":"eA"},"cookieKey":"a"}'].map(value =>
      [`the keys ${value}`, whole, [keys(value)], 'its keys are not valid'] as [string, Buffer, string[], string])
  ]
  for (const [index, [what, content, changes, why]] of rows.entries()) {
    const file = join(directory, String(index))
    writeFileSync(file, content)
    change(file, ...changes)
    const started = startDemoUpstream({ port: 0, file }).then(upstream => upstream.close())
    if (why === undefined) await t.resolves(started, what)
    else {
      await t.rejects(started, {
        message: new RegExp(`^The state of the demo upstream, ${file}, cannot be used \\((?:${why})\\)\\.[^\\n]+$`)
      }, what)
    }
  }
})

t.test('an entry that is damaged is not there', async t => {
  const file = join(t.testdir(), 'demo-login.sqlite')
  const { issuer, restart } = await restartable(t, file)
  const [half, bytes] = [await register(issuer), await register(issuer)]
  for (const [{ id }, payload] of [[half, "'{\"half'"], [bytes, "CAST(X'ff00fe' AS TEXT)"]] as const) {
    change(file, `UPDATE entries SET payload = ${payload} WHERE model = 'Client' AND id = '${id}'`)
  }
  await restart()
  for (const client of [half, bytes]) t.equal((await client.redeem('_')).body.error, 'invalid_client')
  t.equal((await (await register(issuer)).registration()).status, 200)
})

t.test('what fails to start does not listen on', async t => {
  const port = await freePort()
  await t.rejects(startDemoUpstream({ port, configuration: { jwks: { keys: [{ kty: 'nothing' }] } } }))
  const upstream = await startDemoUpstream({ port })
  await upstream.close()
})

t.test('npm start says it in one line, and ends', async t => {
  const DATA_DIR = t.testdir()
  const file = join(DATA_DIR, 'demo-login.sqlite')
  await makeState(file)
  change(file, "UPDATE secrets SET value = '{}'")
  const { PATH, HOME } = process.env
  const child = spawn(process.execPath, ['--import', 'tsx', join(root, 'src/server.ts')], {
    cwd: root,
    env: { PATH, HOME, DATA_DIR, PORT: String(await freePort()), DEMO_UPSTREAM_PORT: String(await freePort()) },
    stdio: ['ignore', 'pipe', 'pipe']
  })
  const [, errors] = await Promise.all([once(child, 'exit'), text(child.stderr)])
  const lines = errors.trim().split('\n').filter(line => !line.startsWith('oidc-provider WARNING'))
  t.equal(child.exitCode, 1)
  t.strictSame(lines.length, 1, errors)
  t.match(lines[0], `The state of the demo upstream, ${file}, cannot be used (its keys are not valid)`)
})
