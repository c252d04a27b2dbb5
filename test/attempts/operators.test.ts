import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { run } from '../../src/cli/attempts.js'
import { authorizationUrl, bearer, newTokens, openBrowser, register, callMcp } from '../support/oauth-flow.js'
import { valueAt } from '../support/json.js'
import { runnable } from '../support/root.js'
import { startService } from '../support/service.js'
import { kBroker } from '../../src/plugins/oauth/broker.js'

const ADMIN_TOKEN = 'the-token-of-the-operators'
const basic = (password: string, user = 'me') => ({
  authorization: `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`
})

// it says when it was asked, and a second may have passed
const timeless = (report: string) => report.replaceAll(/\d\d:\d\d:\d\d/g, '…')

t.test('without ADMIN_TOKEN there is no page, and nothing is written down', async t => {
  const service = await startService(t)
  await callMcp(service, {})
  await newTokens(service, await register(service))
  t.equal((await service.app.inject({ url: '/admin/attempts', headers: basic('') })).statusCode, 404)
  t.equal(service.app[kBroker].attempts, undefined)
})

t.test('with it, operators see how logins went', async t => {
  const service = await startService(t, { ADMIN_TOKEN })
  const { app, url } = service
  const ask = (headers: Record<string, string> = {}) => app.inject({ url: '/admin/attempts', headers })

  await t.test('nobody else does', async t => {
    const { accessToken } = await newTokens(service, await register(service))
    for (
      const headers of [
        {},
        basic('wrong'),
        basic(''),
        basic(ADMIN_TOKEN.toUpperCase()),
        basic('x', ADMIN_TOKEN),
        bearer('wrong'),
        bearer(accessToken),
        bearer(`${ADMIN_TOKEN}x`),
        { authorization: ADMIN_TOKEN },
        { authorization: 'Basic !' },
        { authorization: `Basic ${Buffer.from(ADMIN_TOKEN).toString('base64')}` }
      ]
    ) {
      const answer = await ask(headers)
      t.equal(answer.statusCode, 401, JSON.stringify(headers))
      t.match(answer.headers['www-authenticate'], /^Basic realm=/)
      t.equal(answer.headers['cache-control'], 'no-store')
      t.notOk(answer.body.includes('Test client'))
      t.same(valueAt((await ask({ ...headers, accept: 'application/json' })).json(), 'error'), 'unauthorized')
    }
    t.equal(
      (await app.inject({ url: `/admin/attempts?token=${ADMIN_TOKEN}` })).statusCode,
      401,
      'a token in a URL would end up in logs'
    )
    t.equal((await app.inject({ method: 'POST', url: '/admin/attempts', headers: basic(ADMIN_TOKEN) })).statusCode, 405)
  })

  await t.test('as a page', async t => {
    await register(service, undefined, { client_name: '<b onclick="x">Bold</b>' })
    const page = await ask(basic(ADMIN_TOKEN))
    t.equal(page.statusCode, 200)
    t.match(page.headers['content-type'], /^text\/html/)
    t.match(page.headers['content-security-policy'], /default-src 'none'/)
    t.equal(page.headers['cache-control'], 'no-store')
    t.notOk(page.headers['access-control-allow-origin'])
    t.notMatch(page.body, /<b |<script/)
    t.ok(page.body.indexOf('Bold') < page.body.indexOf('Test client'), 'the last one first')
    t.match(page.body, /The client has registered; it has not sent anybody/)
  })

  await t.test('by the command', async t => {
    const command = async (args: string[], env: Record<string, string>) => {
      let out = ''
      const code = await run(args, { env, write: text => { out += text } })
      return { code, out }
    }
    await openBrowser(service).open(
      authorizationUrl(service, { clientId: 'nobody', redirectUri: 'https://app.example/callback' })
    )
    const { code, out } = await command([url], { ADMIN_TOKEN })
    t.equal(code, 0)
    t.match(
      out,
      /Test client, mcpc_.*, registered dynamically, to http:\/\/localhost:3334\n {4}✓ \d\d:\d\d:\d\d registration\n {4}✓ .* authorize\n/
    )
    t.match(
      out,
      /nobody.*\n {4}✗ .* authorize: The client is unknown.*\n {2}✗ The client is unknown here\..*\n {4}Its registration has expired/
    )
    t.notOk(out.includes(ADMIN_TOKEN))
    const again = await command([], { ADMIN_TOKEN, PUBLIC_URL: url })
    t.equal(again.code, 0, 'the address of the environment')
    t.equal(timeless(again.out), timeless(out))
    t.match(await command([url], {}), { code: 2, out: /ADMIN_TOKEN is not set/ })
    t.match(await command([url], { ADMIN_TOKEN: 'wrong' }), { code: 1, out: /ADMIN_TOKEN is wrong/ })
    t.match(await command(['nowhere'], { ADMIN_TOKEN }), { code: 2, out: /attempts \[url\]/ })
    t.match(await command(['--help'], {}), { code: 0, out: /attempts \[url\]/ })
    t.match(await command(['http://localhost:1'], { ADMIN_TOKEN }), { code: 1, out: /could not be read/ })
    t.match(await command([service.upstream.issuer], { ADMIN_TOKEN }), { code: 1, out: /started without ADMIN_TOKEN/ })

    const cli = promisify(execFile)
    const { stdout } = await cli(process.execPath, [...runnable('src/cli'), 'attempts', url], {
      env: { ...process.env, ADMIN_TOKEN }
    })
    t.match(stdout, /Test client/)
  })

  await t.test('by the command, in a folder with the service\'s .env', async t => {
    const directory = t.testdir({
      good: { '.env': `ADMIN_TOKEN=${ADMIN_TOKEN}\nPUBLIC_URL=${url}\n` },
      port: { '.env': `ADMIN_TOKEN=${ADMIN_TOKEN}\nPUBLIC_URL=\nPORT=${new URL(url).port}\n` },
      wrong: { '.env': 'ADMIN_TOKEN=another-token-of-operators\n' },
      unreadable: { '.env': {} }
    })
    const command = async (folder: string, args: string[] = [], env: NodeJS.ProcessEnv = {}) =>
      await promisify(execFile)(process.execPath, [...runnable('src/cli'), 'attempts', ...args], {
        cwd: join(directory, folder),
        env: { PATH: process.env.PATH, ...env }
      }).then(({ stdout }) => ({ code: 0, stdout }), (error: { code: number, stdout: string }) => error)
    const [good, port, mcp, environment, unreadable] = await Promise.all([
      command('good'),
      command('port'),
      command('good', [`${url}/mcp`]),
      command('wrong', [url], { ADMIN_TOKEN }),
      command('unreadable', [url])
    ])
    for (const { code, stdout } of [good, port, mcp, environment]) t.match({ code, stdout }, { code: 0, stdout: /Test client/ })
    t.match(unreadable, { code: 2, stdout: /^The file \.env cannot be read \(EISDIR\)[^\n]+\n$/ })
  })

  await t.test('nobody tries many tokens', async t => {
    let status = 401
    for (let tries = 0; tries < 61 && status === 401; tries++) status = (await ask(basic('wrong'))).statusCode
    t.equal(status, 429)
  })
})
