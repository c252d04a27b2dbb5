import { once } from 'node:events'
import { createServer as createHttpServer, request as httpRequest, type IncomingHttpHeaders } from 'node:http'
import { connect } from 'node:net'
import t, { type Test } from 'tap'
import { buildApp } from '../../src/app.js'
import { loadConfig } from '../../src/config/config.js'
import { addressOf } from '../support/address-of.js'
import { find, lacking } from '../support/programs.js'
import { createServer } from '../support/sample-server.js'
import { freePort } from '../support/free-port.js'
import { listenFor, QUIET, runService } from '../support/service.js'
import { newTokens, register } from '../support/oauth-flow.js'
import { shippedProxies, startShippedProxy } from './shipped-proxies.js'

/** Whether the metrics are open, and clients on loopback are asked for, with these variables. */
async function opened (t: Test, environment: NodeJS.ProcessEnv): Promise<{ metrics: boolean, loopback: boolean }> {
  let asked = 0
  const documents = createHttpServer((_request, response) => {
    asked++
    response.writeHead(404).end()
  }).listen(0, '127.0.0.1')
  await once(documents, 'listening')
  const address = addressOf(documents)
  const app = await buildApp(
    loadConfig({ ...QUIET, OAUTH_ISSUER_URL: 'https://login.example', ...environment }, { dotenv: false }),
    { createServer }
  )
  t.teardown(async () => {
    await app.close()
    documents.close()
  })
  const client = encodeURIComponent(`http://127.0.0.1:${address.port}/client.json`)
  await app.inject({
    url: `/authorize?client_id=${client}&response_type=code&redirect_uri=${encodeURIComponent('http://127.0.0.1/cb')}`
  })
  return { metrics: (await app.inject({ url: '/metrics' })).statusCode === 200, loopback: asked > 0 }
}

for (const NODE_ENV of [undefined, 'development', 'production', 'prod', 'test']) {
  for (
    const PUBLIC_URL of [
      undefined,
      'http://localhost:5050',
      'http://127.0.0.1:5050',
      'http://[::1]:5050',
      'https://mcp.example.com',
      'https://localhost.example.com'
    ]
  ) {
    if (NODE_ENV === 'production' && PUBLIC_URL === undefined) continue
    const local = NODE_ENV !== 'production' && (PUBLIC_URL === undefined || !PUBLIC_URL.includes('example'))
    const where = `NODE_ENV ${NODE_ENV ?? 'unset'}, PUBLIC_URL ${PUBLIC_URL ?? 'unset'}`
    t.test(`${where}: metrics and loopback clients are ${local ? 'open' : 'closed'}`, async t => {
      const environment = { ...NODE_ENV !== undefined && { NODE_ENV }, ...PUBLIC_URL !== undefined && { PUBLIC_URL } }
      t.strictSame(await opened(t, environment), { metrics: local, loopback: local })
    })
  }
}

const SPELLINGS = [
  '/metrics',
  '/metrics/',
  '/metrics//',
  '/%6detrics',
  '/%6Detrics',
  '/metric%73',
  '/metric%73/',
  '/m%65trics?x',
  '/metrics/?x',
  '//metrics',
  '/./metrics',
  '/a/../metrics',
  '/metrics%2f',
  '/metrics;x',
  '/metrics#x',
  '/metrics/.',
  '/METRICS',
  'http://localhost/metrics',
  'http://localhost/%6detrics'
]

/** Asks for a path as it is written. */
async function statusOf (port: number, path: string, headers: Record<string, string> = {}): Promise<number> {
  const socket = connect(port, '127.0.0.1')
  await once(socket, 'connect')
  const lines = Object.entries({ host: 'localhost', connection: 'close', ...headers }).map(([name, value]) =>
    `${name}: ${value}\r\n`
  ).join('')
  socket.write(`GET ${path} HTTP/1.1\r\n${lines}\r\n`)
  let text = ''
  for await (const chunk of socket) text += String(chunk)
  return Number(/^HTTP\/1\.1 (\d+)/.exec(text)?.[1])
}

t.test('the metrics have one spelling', async t => {
  const service = await runService()
  t.teardown(() => service.close())
  for (const path of SPELLINGS) {
    t.equal(await statusOf(service.config.port, path) === 200, path === '/metrics', path)
  }
  t.equal(await statusOf(service.config.port, '/metrics?x'), 200, 'with a query')
})

/** A service that tells what reaches it: the path and headers of every request. */
async function listening (
  t: Test
): Promise<{ port: number, seen: Array<{ url: string, headers: IncomingHttpHeaders }> }> {
  const seen: Array<{ url: string, headers: IncomingHttpHeaders }> = []
  const port = await listenFor(t, ({ url = '', headers }, response) => {
    if (!/^\/(healthz|readyz)/.test(url)) seen.push({ url, headers })
    response.end('ok')
  })
  return { port, seen }
}

for (const name of Object.keys(shippedProxies)) {
  // the tests need nginx anyway; the others run where they are installed
  const skip = name !== 'nginx' && find(name) === undefined && lacking(name)
  t.test(
    `deploy/${name} keeps the metrics inside, however they are spelt, and forgets what callers say of themselves`,
    { skip },
    async t => {
      const service = await runService()
      t.teardown(() => service.close())
      const front = await freePort()
      await startShippedProxy(t, name, front, service.config.port)
      for (const path of [...SPELLINGS, '/metrics?x']) t.not(await statusOf(front, path), 200, path)

      const { port: replica, seen } = await listening(t)
      const port = await freePort()
      await startShippedProxy(t, name, port, replica)
      await statusOf(port, '/mcp', {
        'x-forwarded-host': 'evil.example',
        forwarded: 'host=evil.example',
        'x-forwarded-for': '203.0.113.9'
      })
      t.match(seen, [{ url: '/mcp', headers: { host: 'localhost' } }])
      t.notMatch(JSON.stringify(seen), /evil/)
      t.match(seen[0]?.headers['x-forwarded-for'], /127\.0\.0\.1$/, 'the caller\'s address comes last')
    })
}

for (const TRUST_PROXY of ['false', '1', 'true', '127.0.0.1']) {
  t.test(`TRUST_PROXY=${TRUST_PROXY}: the Host counts, not what a caller says that it was`, async t => {
    const service = await runService({ TRUST_PROXY })
    t.teardown(() => service.close())
    const { accessToken } = await newTokens(service, await register(service))
    const { port } = service.config
    const own = `localhost:${port}`
    for (const path of ['/mcp', '/sse', '/messages']) {
      const post = async (headers: Record<string, string>) =>
        await status(port, path, {
          authorization: `Bearer ${accessToken}`,
          'content-type': 'application/json',
          ...headers
        })
      t.equal(await post({ host: 'evil.example' }), 403, `${path}: another host`)
      t.equal(
        await post({ host: 'evil.example', 'x-forwarded-host': own }),
        403,
        `${path}: another host, and the right one forwarded`
      )
      t.equal(await post({ host: 'evil.example', forwarded: `host=${own}` }), 403, `${path}: the same by Forwarded`)
      t.not(await post({ host: own, 'x-forwarded-host': 'evil.example' }), 403, `${path}: the right host`)
    }
  })
}

function status (port: number, path: string, headers: Record<string, string>): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    httpRequest({ method: 'POST', port, host: '127.0.0.1', path, headers }, response => {
      response.resume()
      resolve(response.statusCode)
    }).on('error', reject).end()
  })
}
