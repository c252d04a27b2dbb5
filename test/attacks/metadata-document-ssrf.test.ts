import { once } from 'node:events'
import { createServer as createHttpServer } from 'node:http'
import { createServer, Socket } from 'node:net'
import { hostname } from 'node:os'
import t, { type Test } from 'tap'
import { addressOf } from '../support/address-of.js'
import { valueAt } from '../support/json.js'
import { freePort } from '../support/free-port.js'
import { asserted, newKey, sign } from '../support/client-keys.js'
import { startService } from '../support/service.js'
import { authorizationUrl, form } from '../support/oauth-flow.js'

/** Listens on every address of this machine, and counts who comes. */
async function listener (t: Test) {
  let connections = 0
  const server = createServer(socket => {
    connections++
    socket.end('HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n')
  }).listen(0)
  await once(server, 'listening')
  t.teardown(() => server.close())
  const address = addressOf(server)
  return { port: address.port, connections: () => connections }
}

const withoutId = (html: string) => html.replace(/id [0-9a-f-]{36}/, 'id')

t.test('in production no client_id makes the service ask an internal address', async t => {
  const { port, connections } = await listener(t)
  const target = await startService(t, {
    NODE_ENV: 'production',
    PUBLIC_URL: 'https://mcp.example',
    PORT: String(await freePort())
  })
  const hosts = [
    'localhost',
    'localhost.',
    'LOCALHOST',
    'x.localhost',
    hostname(),
    'ip6-localhost',
    'ip6-loopback',
    'localhost.localdomain',
    '127.0.0.1',
    '127.1',
    '127.0.0.1.',
    '127.255.255.254',
    '2130706433',
    '0x7f000001',
    '0177.0.0.1',
    '0',
    '0.0.0.0',
    '%31%32%37.0.0.1',
    '①②⑦.0.0.1',
    '[::1]',
    '[::]',
    '[::ffff:127.0.0.1]',
    '[::ffff:7f00:1]',
    '[::127.0.0.1]',
    '[64:ff9b::7f00:1]',
    '[2002:7f00:1::]',
    '[0:0:0:0:0:0:0:1]',
    '[fe80::1]',
    '[fd00::1]',
    '[fec0::1]',
    '[ff02::1]',
    '10.0.0.1',
    '172.16.0.1',
    '172.31.255.255',
    '192.168.0.1',
    '169.254.169.254',
    '[fd00:ec2::254]',
    '100.64.0.1',
    '100.100.100.200',
    '192.0.0.192',
    '198.18.0.1',
    '224.0.0.1',
    '255.255.255.255',
    '240.0.0.1',
    '[::ffff:169.254.169.254]',
    '[::ffff:a9fe:a9fe]',
    '2852039166',
    'user@127.0.0.1',
    'public.example@127.0.0.1',
    '127.0.0.1#@public.example',
    '127.0.0.1\\@public.example',
    'public.example\\@127.0.0.1'
  ]
  const clientIds = hosts.flatMap(
    host => [
      `https://${host}:${port}/client.json`,
      `https://${host}/latest/meta-data/`,
      `http://${host}:${port}/client.json`,
      `HTTPS://${host}:${port}/a/client.json`
    ]
  )
  clientIds.push(
    `https:127.0.0.1:${port}/x`,
    `https:/127.0.0.1:${port}/x`,
    `https:///127.0.0.1:${port}/x`,
    ` https://127.0.0.1:${port}/x`,
    `https://127.0.0.1:${port}/a/../x`,
    'file:///etc/passwd',
    'gopher://127.0.0.1/x',
    `ftp://127.0.0.1:${port}/x`,
    'data:application/json,{}',
    'unix:///var/run/docker.sock:/x',
    `blob:https://127.0.0.1:${port}/x`
  )

  const attempts = t.capture(Socket.prototype, 'connect', function (this: Socket) {
    return this.destroy(new Error('not here'))
  })
  const seen = new Set<string>()
  for (const [index, clientId] of clientIds.entries()) {
    // each from an address of its own: their number is another attack
    const remoteAddress = `198.51.100.${index}`
    const { pathname, search, searchParams } = authorizationUrl(target, {
      clientId,
      redirectUri: 'https://127.0.0.1/callback'
    })
    const answer = await target.app.inject({ url: pathname + search, remoteAddress })
    seen.add(withoutId(answer.body))
    const post = (url: string, payload: URLSearchParams, headers = {}) =>
      target.app.inject({
        method: 'POST',
        url,
        remoteAddress,
        payload: payload.toString(),
        headers: { 'content-type': 'application/x-www-form-urlencoded', ...headers }
      })
    const token = await post('/token', form({ grant_type: 'authorization_code', code: 'x', client_id: clientId }))
    const basic = Buffer.from(`${encodeURIComponent(clientId)}:x`).toString('base64')
    t.strictSame({
      page: [answer.statusCode, answer.headers['content-type'], answer.headers.location],
      form: (await post('/authorize', searchParams)).statusCode,
      token: [token.statusCode, valueAt(token.json(), 'error')],
      revocation: (await post('/revoke', form({ token: 'x', client_id: clientId }))).statusCode,
      introspection:
        (await post('/introspect', form({ token: 'x', client_id: clientId, client_secret: 'x' }))).statusCode,
      basic:
        (await post('/token', form({ grant_type: 'authorization_code', code: 'x' }), {
          authorization: `Basic ${basic}`
        })).statusCode
    }, {
      page: [400, 'text/html; charset=utf-8', undefined],
      form: 400,
      token: [401, 'invalid_client'],
      revocation: 401,
      introspection: 401,
      basic: 401
    }, clientId)
  }
  t.strictSame(attempts().map(({ args }) => args), [], 'not one connection was tried')
  t.equal(connections(), 0)
  t.equal(seen.size, 2, 'and nobody learns more than whether the client_id is a URL that may be a document\'s')
})

t.test('outside production the document is asked for, and nothing that it or its server names', async t => {
  const { port: internal, connections } = await listener(t)
  let asked = 0
  const documents = createHttpServer((request, response) => {
    asked++
    if (request.url === '/redirect.json') {
      response.writeHead(302, { location: `http://127.0.0.1:${internal}/secret.json` }).end()
    } else {
      const clientId = `http://127.0.0.1:${port}${request.url}`
      const at = `http://127.0.0.1:${internal}/`
      response.writeHead(200, { 'content-type': 'application/json', link: `<${at}>; rel=preload` }).end(JSON.stringify({
        client_id: clientId,
        client_name: 'App',
        redirect_uris: [`${at}callback`],
        logo_uri: `${at}logo.png`,
        client_uri: at,
        tos_uri: at,
        policy_uri: at,
        jwks_uri: `${at}jwks.json`,
        sector_identifier_uri: `${at}sector.json`,
        request_uris: [at]
      }))
    }
  }).listen(0, '127.0.0.1')
  await once(documents, 'listening')
  t.teardown(() => documents.close())
  const address = addressOf(documents)
  const { port } = address

  const target = await startService(t)
  const open = async (path: string) => {
    const { pathname, search } = authorizationUrl(target, {
      clientId: `http://127.0.0.1:${port}${path}`,
      redirectUri: `http://127.0.0.1:${internal}/callback`
    })
    return await target.app.inject({ url: pathname + search })
  }
  t.equal((await open('/client.json')).statusCode, 200, 'the consent page')
  t.equal(asked, 1, 'the document was asked for')
  t.equal((await open('/redirect.json')).statusCode, 400, 'a redirect is no document')
  t.equal(asked, 2)
  t.equal((await open('/redirect.json')).statusCode, 400)
  t.equal(asked, 2, 'and is not asked for again at once')
  t.equal(connections(), 0, 'nothing else was')
})

t.test('in production no key set makes the service ask an internal address', async t => {
  const { port, connections } = await listener(t)
  const target = await startService(t, {
    NODE_ENV: 'production',
    PUBLIC_URL: 'https://mcp.example',
    PORT: String(await freePort())
  })
  const key = await newKey('ES256')
  const registered: string[] = []
  const hosts = [
    'localhost',
    hostname(),
    '127.0.0.1',
    '0x7f000001',
    '[::1]',
    '[::ffff:127.0.0.1]',
    '10.0.0.1',
    '169.254.169.254',
    '[fd00:ec2::254]',
    'user@127.0.0.1'
  ]
  for (const [index, host] of hosts.entries()) {
    const remoteAddress = `198.51.100.${index}`
    const registration = await target.app.inject({
      method: 'POST',
      url: '/register',
      remoteAddress,
      payload: {
        redirect_uris: ['https://app.example/callback'],
        token_endpoint_auth_method: 'private_key_jwt',
        jwks_uri: `https://${host}:${port}/jwks.json`
      }
    })
    if (registration.statusCode === 400) continue
    const clientId = String(valueAt(registration.json(), 'client_id'))
    registered.push(host)
    const attempts = t.capture(Socket.prototype, 'connect', function (this: Socket) {
      return this.destroy(new Error('not here'))
    })
    const answer = await target.app.inject({
      method: 'POST',
      url: '/token',
      remoteAddress,
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      payload: form({
        grant_type: 'authorization_code',
        code: 'x',
        ...asserted(await sign({ url: 'https://mcp.example' }, clientId, key))
      }).toString()
    })
    t.strictSame(
      [answer.statusCode, valueAt(answer.json(), 'error_description')],
      [401, 'The key set of the client cannot be used.'],
      host
    )
    t.strictSame(attempts().map(({ args }) => args), [], `${host}: not one connection was tried`)
    attempts.restore()
  }
  const asked = [hostname(), '10.0.0.1', '169.254.169.254', '[fd00:ec2::254]']
  t.strictSame(registered, asked, 'the others are refused at once')
  t.equal(connections(), 0)
})
