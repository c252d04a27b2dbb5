import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:https'
import { promisify } from 'node:util'
import t from 'tap'
import { loadConfig } from '../../src/config/config.js'
import { MetadataDocumentFetcher } from '../../src/oauth/client-documents/fetch.js'
import { Proxy } from '../../src/outbound/proxy.js'
import { findNetworkFault } from '../../src/process/network.js'
import { runFile } from '../operations/service-process.js'
import { makeCertificate } from '../support/certificate.js'
import { connectProxy } from '../support/connect-proxy.js'
import { freePort } from '../support/free-port.js'
import { valueAt } from '../support/json.js'
import { ask, authorizationUrl, redeem, WEB_URI } from '../support/oauth-flow.js'
import { root, runnable } from '../support/root.js'

const CLIENT = 'https://client.example/client.json'

t.test('what a service says to the internet goes through HTTPS_PROXY: documents, key sets, the upstream', async t => {
  const { key, cert, file } = await makeCertificate(t, ['client.example', 'login.example'])
  const hosts: string[] = []
  const server = createServer({ key, cert }, (request, response) => {
    hosts.push(`${request.method} https://${request.headers.host}${request.url}`)
    const issuer = 'https://login.example'
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(
      request.headers.host === 'client.example'
        ? { client_id: CLIENT, client_name: 'Beyond the proxy', redirect_uris: [WEB_URI] }
        : { issuer, authorization_endpoint: `${issuer}/authorize`, token_endpoint: `${issuer}/token` }
    ))
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const address = server.address()
  const proxy = await connectProxy(t, typeof address === 'object' ? address?.port : undefined)
  const port = await freePort()
  const environment = {
    PORT: String(port),
    LOG_LEVEL: 'warn',
    OAUTH_ISSUER_URL: 'https://login.example',
    OAUTH_CLIENT_ID: 'us',
    https_proxy: proxy.url.replace('://', '://user:pass%20word@'),
    NODE_EXTRA_CA_CERTS: file
  }
  const service = runFile(t, 'src/server', environment)
  await service.line(/MCP server:/)
  const target = { url: `http://localhost:${port}`, fetch }
  t.equal((await ask(target, `${target.url}/readyz`)).status, 200, 'the upstream is reached')
  const page = await ask(target, authorizationUrl(target, { clientId: CLIENT, redirectUri: WEB_URI }))
  t.strictSame([page.status, page.text.includes('Beyond the proxy')], [200, true])
  t.ok(hosts.includes(`GET ${CLIENT}`))
  t.ok(hosts.some(url => url.startsWith('GET https://login.example/.well-known/')))
  t.strictSame([...new Set(proxy.asked)].filter(host => host !== 'vscode.dev:443').sort(), [
    'client.example:443',
    'login.example:443'
  ])
  const [{ 'proxy-authorization': credentials } = {}] = proxy.headers
  t.equal(credentials, `Basic ${Buffer.from('user:pass word').toString('base64')}`)
  const command = [...runnable('src/cli'), 'doctor', '--stream-seconds', '0.1']
  const env = { PATH: process.env.PATH, ...environment }
  const { stdout } = await promisify(execFile)(process.execPath, command, { cwd: root, env })
    .catch((error: unknown) => ({ stdout: String(valueAt(error, 'stdout')) }))
  t.match(stdout, /✓ upstream-discovery: https:\/\/login\.example describes itself/, 'the doctor takes the same way')
  t.equal((await redeem(target, { clientId: CLIENT, redirectUri: WEB_URI }, 'x')).error, 'invalid_grant')
})

t.test('which hosts it covers', async t => {
  const rows: Array<[except: string[], url: string, covered: boolean]> = [
    [[], 'https://client.example/a', true],
    [[], 'https://client.example:8443/a', true],
    [[], 'http://client.example/a', false],
    [[], 'https://localhost/a', false],
    [[], 'https://x.localhost:3000/a', false],
    [[], 'https://127.0.0.1/a', false],
    [[], 'https://[::1]/a', false],
    [['*'], 'https://client.example/a', false],
    [['client.example'], 'https://client.example/a', false],
    [['CLIENT.example'], 'https://client.EXAMPLE./a', false],
    [['client.example'], 'https://www.client.example/a', false],
    [['.client.example'], 'https://www.client.example/a', false],
    [['*.client.example'], 'https://www.client.example/a', false],
    [['client.example'], 'https://otherclient.example/a', true],
    [['client.example:443'], 'https://client.example/a', false],
    [['client.example:8443'], 'https://client.example/a', true],
    [['10.0.0.1', '2001:db8::1'], 'https://10.0.0.1/a', false],
    [['2001:db8::1'], 'https://[2001:db8::1]/a', false],
    [['', '.'], 'https://client.example/a', true]
  ]
  for (const [except, url, covered] of rows) {
    t.equal(new Proxy({ url: 'http://proxy.example:3128', except }).covers(new URL(url)), covered, `${except}: ${url}`)
  }
})

const env = (environment: NodeJS.ProcessEnv) => loadConfig(environment, { dotenv: false })

t.test('its variables', async t => {
  t.equal(env({}).proxy, undefined)
  t.strictSame(env({ HTTPS_PROXY: 'http://p.example:3128', NO_PROXY: 'a.example, .b.example c.example' }).proxy, {
    url: 'http://p.example:3128',
    except: ['a.example', '.b.example', 'c.example']
  })
  t.match(env({ https_proxy: 'http://lower.example:1', no_proxy: 'a' }).proxy, { url: /lower/, except: ['a'] })
  t.match(env({ https_proxy: 'http://lower.example:1', HTTPS_PROXY: 'http://upper.example' }).proxy, { url: /upper/ })
  for (const HTTPS_PROXY of ['proxy.example:3128', 'socks5://proxy.example:1080', 'http://u:p@x/path', 'x']) {
    t.throws(() => env({ HTTPS_PROXY }), /^HTTPS_PROXY is not valid; it takes the http or https URL of a proxy/)
  }
})

t.test('no internal host is asked for through the proxy', async t => {
  const proxy = await connectProxy(t)
  const fetcher = (...addresses: string[]) => new MetadataDocumentFetcher({
    allowLoopback: false,
    proxy: new Proxy(proxy),
    lookup: async () => addresses.map(address => ({ address, family: address.includes(':') ? 6 : 4 }))
  })
  for (
    const host of [
      '10.0.0.1',
      '169.254.169.254',
      '[fd00::1]',
      'intranet',
      'printer.local',
      'db.internal',
      'metadata.google.internal',
      'x.corp',
      'router.home.arpa'
    ]
  ) {
    await t.rejects(fetcher('8.8.8.8').fetch(`https://${host}/client.json`), {
      code: 'invalid_client',
      message: 'The metadata document of the client cannot be used.'
    }, host)
  }
  for (const address of ['10.0.0.1', '127.0.0.1', '::1', '169.254.169.254']) {
    await t.rejects(fetcher('8.8.8.8', address).fetch(CLIENT), {
      code: 'invalid_client',
      detail: /resolves to the special address/
    }, address)
  }
  t.strictSame(proxy.asked, [])
  await t.rejects(fetcher().fetch(CLIENT), { code: 'temporarily_unavailable' }, 'nobody listens there')
  t.strictSame(proxy.asked, ['client.example:443'], 'a name that is unknown here is for the proxy to resolve')
})

t.test('a proxy that refuses, or is down, is an outage', async t => {
  const proxy = await connectProxy(t)
  const lookup = async () => { throw new Error('ESERVFAIL') }
  const fetch = async (url = proxy.url) =>
    await new MetadataDocumentFetcher({ allowLoopback: false, proxy: new Proxy({ url }), lookup, timeoutMs: 300 })
      .fetch(CLIENT)
  for (const status of [403, 407, 502, 0]) {
    proxy.status = status
    const detail = status === 0 ? /not read within 300 ms/ : new RegExp(`status ${status} to CONNECT client.example`)
    await t.rejects(
      fetch(),
      { code: 'temporarily_unavailable', reason: 'document_unreachable', detail },
      String(status)
    )
  }
  await t.rejects(fetch(`http://127.0.0.1:${await freePort()}`), {
    code: 'temporarily_unavailable',
    detail: /proxy cannot be reached/
  })
})

t.test('at start in development, a missing network is noted', async t => {
  const nobody = `http://127.0.0.1:${await freePort()}`
  t.match(await findNetworkFault({ url: nobody }), /the proxy cannot be reached: connect ECONNREFUSED/)
  t.match(await findNetworkFault(undefined, new URL('https://no-such-host.invalid')), /no-such-host\.invalid/)
  const environment = { LOG_LEVEL: 'silent', HTTPS_PROXY: nobody }
  const [on, off] = await Promise.all(['on', 'off'].map(async CLIENT_METADATA_DOCUMENTS => {
    const [port, demo] = [await freePort(), await freePort()]
    const started = runFile(t, 'src/server', {
      ...environment,
      PORT: String(port),
      DEMO_UPSTREAM_PORT: String(demo),
      CLIENT_METADATA_DOCUMENTS
    })
    await started.line(/MCP server:/)
    return started
  }))
  await on?.line(/Note: the internet cannot be reached from here \(the proxy cannot be reached/)
  await on?.line(/Set CLIENT_METADATA_DOCUMENTS=off/)
  t.notOk(off?.output.some(line => line.includes('Note:')))
})
